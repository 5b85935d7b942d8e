// Checks of one client: each prints one line of JSON, which `clients.campaign` reads.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const URL = process.env.CLIENTS_URL;
export const KEY = process.env.CLIENTS_KEY;
export const LIMITED_KEY = process.env.CLIENTS_LIMITED_KEY; // has one call a minute
export const LOCAL_URL = process.env.CLIENTS_LOCAL_URL; // the local model, whose context is small
export const LOCAL_KEY = process.env.CLIENTS_LOCAL_KEY;

export const CHAT = "simulated-chat";
export const EMBEDDINGS = "simulated-embeddings";
export const LOCAL_CHAT = "smollm2-135m-instruct";
export const MESSAGES = [{ role: "user", content: "Hello" }];
export const TOO_LONG = "word ".repeat(10_000);
export const DIMENSIONS = 256;

/** Services to ask for responses: each with its name, url, key and model. */
const DOORS = JSON.parse(process.env.CLIENTS_DOORS);

/** What an agent says, and what its tool `weather` has told it. */
export const [ANSWER, OUTPUT] = ["It is warm in Rome.", "Sun in Rome"];

/**
 * Return each check for each service. Services whose models reason have the `thinking` ones instead,
 * and those of the `agents` and of the one whose tool needs an approval.
 */
export function atDoors(checks, thinking, agents, approvals) {
  const [reasoning, others] = [true, false].map((reasons) =>
    DOORS.filter((door) => door.name.includes("thinking") === reasons),
  );
  const as = (model) => reasoning.map((door) => ({ ...door, model }));
  return {
    ...each(checks, others),
    ...each(thinking, reasoning),
    ...each(agents, as("reporter")),
    ...each(approvals, as("clerk")),
  };
}

function each(checks, doors) {
  const named = ([name, check]) =>
    doors.map((door) => [`${door.name}: ${name}`, async () => check(door)]);
  return Object.fromEntries(Object.entries(checks).flatMap(named));
}

/** Tell the version of the client, then run each check, a method of the object. */
export async function run(name, checks) {
  const about = readFileSync(`node_modules/${name}/package.json`);
  console.log(JSON.stringify({ version: JSON.parse(about).version }));
  for (const [check, call] of Object.entries(checks)) {
    const failure = await call().then(() => null, (error) => `${error.name}: ${error.message}`);
    console.log(JSON.stringify({ check: check.replaceAll("_", " "), failure }));
  }
}

/** Return the error that the call throws. */
export async function thrown(call) {
  const error = await call().then(() => null, (error) => error);
  assert(error, "no error was thrown");
  return error;
}

/** Return all items of an asynchronous iterable. */
export async function all(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}
