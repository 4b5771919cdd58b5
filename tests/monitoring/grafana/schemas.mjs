// Prints JSON schemas of dashboards and of the panels in use, made from the types of Grafana.
import { createGenerator } from "ts-json-schema-generator";

const RAW = "node_modules/@grafana/schema/dist/types/raw";
const DASHBOARD = `${RAW}/dashboard/x/types.gen.d.ts`;
const PANELS = ["stat", "statetimeline", "timeseries"];
const WITH_FIELDS = ["statetimeline", "timeseries"];

function schema(path, type) {
  const config = { path, type, skipTypeCheck: true, additionalProperties: false };
  return createGenerator(config).createSchema(type);
}

const ofPanel = (name) => `${RAW}/composable/${name}/panelcfg/x/types.gen.d.ts`;
const each = (names, type) =>
  Object.fromEntries(names.map((name) => [name, schema(ofPanel(name), type)]));

const schemas = {
  dashboard: schema(DASHBOARD, "Dashboard"),
  panel: schema(DASHBOARD, "Panel"),
  options: each(PANELS, "Options"),
  fields: each(WITH_FIELDS, "FieldConfig"),
};
const withoutWords = (key, value) => (key === "description" && typeof value === "string" ? undefined : value);
console.log(JSON.stringify(schemas, withoutWords, 1));
