// Starts Swagger UI on this service's own description.

// Examples of optional parameters are there to be read. Swagger UI would also send them: an If-Match
// would refuse the first try, and an Idempotency-Key would replay it at the second.
function withoutOptionalExamples(parameter) {
  if (parameter.required || !parameter.in) return parameter;
  const { example, examples, ...rest } = parameter;
  return rest;
}

// `given.parameters`: values to begin with, by the name of the parameter.
function withGivenValue(parameter, given) {
  const value = given.parameters?.[parameter.name];
  return value ? { ...parameter, example: value } : parameter;
}

function prepared(description, given) {
  const prepare = (parameter) => withGivenValue(withoutOptionalExamples(parameter), given);
  const named = description.components.parameters ?? {};
  for (const name of Object.keys(named)) named[name] = prepare(named[name]);
  for (const methods of Object.values(description.paths)) {
    for (const operation of Object.values(methods)) {
      if (operation.parameters) operation.parameters = operation.parameters.map(prepare);
    }
  }
  return description;
}

function preparing(given) {
  const updateJsonSpec = (update) => (description) => update(prepared(description, given));
  return () => ({ statePlugins: { spec: { wrapActions: { updateJsonSpec } } } });
}

function followColorScheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", apply);
  apply();
}

async function start() {
  const { given: url } = document.body.dataset; // only the demo's page has it
  const given = url ? await (await fetch(url)).json() : {};
  if (given.fragment && !location.hash) history.replaceState(null, "", given.fragment);
  const ui = SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#reference",
    presets: [SwaggerUIBundle.presets.apis],
    plugins: [preparing(given)],
    deepLinking: true,
    tryItOutEnabled: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: 0,
    validatorUrl: null, // it would send the description to a server of the makers
    onComplete: () => given.token && ui.preauthorizeApiKey("accessToken", given.token),
  });
}

followColorScheme();
start();
