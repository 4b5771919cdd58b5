// What a client writes with the generated types. It is compiled, not run.
import type { components, operations, paths } from "./api.js";

type Session = components["schemas"]["SessionDTO"];
type FailBody = components["schemas"]["FailSessionBody"];
type Failing = paths["/sessions/{sessionId}/fail"]["post"];
type TooLate = operations["failSession"]["responses"][409]["content"]["application/json"];
type Unavailable = operations["failSession"]["responses"][503]["content"]["application/json"];
type History = operations["listEvents"]["responses"][200]["content"]["application/json"];

export const noBody: Failing["requestBody"] = undefined;
export const noReason: FailBody = {};
export const reason: FailBody = { reason: "shoulder pain" };
export const headers: NonNullable<Failing["parameters"]["header"]> = {
  "Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324",
  "If-Match": '"2"',
};

// @ts-expect-error: a typo does not lose a reason
export const typo: FailBody = { reasn: "shoulder pain" };
// @ts-expect-error: a status is one of four
export const lost: Session["status"] = "lost";

export function repetitions(session: Session): number {
  return session.sets.reduce<number>((sum, set) => sum + (set ?? 0), 0);
}

export function explain({ error }: TooLate): string {
  return `${error.code}: ${error.details.currentStatus}, ${error.details.requestId}`;
}

// The code decides between the errors of a status.
export function isOverloaded({ error }: Unavailable): boolean {
  switch (error.code) {
    case "OVERLOADED":
      return true;
    case "DEPENDENCY_UNAVAILABLE":
      return false;
    default:
      return error satisfies never;
  }
}

// The type decides between the data of events.
export function reasons({ data, meta }: History): (string | null)[] {
  const cursor: string | undefined = meta.nextCursor;
  return data.events.flatMap((event) =>
    event.type === "session_failed" ? [event.data.reason, cursor ?? null] : [],
  );
}
