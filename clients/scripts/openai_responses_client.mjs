// OpenAI's own client for Node, asking for responses.
import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import OpenAI from "openai";
import { all, ANSWER, atDoors, OUTPUT, run, thrown } from "./checks.mjs";

const CITY = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const tools = [{ type: "function", name: "weather", strict: true, parameters: CITY }];
const FINAL = ["completed", "incomplete", "failed", "cancelled"];

const checks = {
  async text(door) {
    const response = await ask(door);
    assert.equal(response.status, "completed");
    assert(response.output_text);
    assert(response.usage.total_tokens > response.usage.input_tokens);
  },
  async stream(door) {
    const events = await all(await ask(door, { stream: true }));
    assert.deepEqual(numbers(events), [...events.keys()]);
    assert.equal(events.at(-1).type, "response.completed");
    assert.equal(textOf(events), (await ask(door)).output_text);
  },
  async stream_helper(door) {
    const stream = client(door).stream({ model: door.model, input: "Hello" });
    const text = textOf(await all(stream));
    assert.equal(said(await stream.finalResponse()), text);
  },
  async tool_loop(door) {
    const first = await ask(door, { tools });
    const call = callOf(first);
    assert("city" in JSON.parse(call.arguments));
    const more = { tools, previous_response_id: first.id };
    assert((await ask(door, { input: [resultOf(call)], ...more })).output_text);
  },
  async tool_loop_streamed(door) {
    const first = await final(door, { input: "Hello", tools });
    const input = [{ role: "user", content: "Hello" }, ...first.output, resultOf(callOf(first))];
    assert(said(await final(door, { input, tools })));
  },
  async structured(door) {
    const format = { type: "json_schema", name: "city", strict: true, schema: CITY };
    const asked = { model: door.model, input: "Where?", text: { format } };
    assert("city" in (await client(door).parse(asked)).output_parsed);
  },
  async cut_off(door) {
    const response = await ask(door, { max_output_tokens: 3 });
    assert.equal(response.incomplete_details.reason, "max_output_tokens");
  },
  async item_reference(door) {
    const { id } = (await ask(door)).output[0];
    const input = [{ type: "item_reference", id }, { role: "user", content: "Again." }];
    const response = await ask(door, { input });
    const items = await all(client(door).inputItems.list(response.id, { order: "asc" }));
    assert.equal(items[0].id, id);
    assert.equal(items[1].content[0].text, "Again.");
  },
  async stored(door) {
    const made = await ask(door);
    assert.equal((await client(door).retrieve(made.id)).output_text, made.output_text);
    await (client(door).delete ?? client(door).del).call(client(door), made.id);
    assert((await thrown(() => client(door).retrieve(made.id))) instanceof OpenAI.NotFoundError);
  },
  async background(door) {
    const response = await ended(door, await ask(door, { background: true }));
    assert.equal(response.status, "completed");
    assert.equal(response.output_text, (await ask(door)).output_text);
  },
  async background_resumed(door) {
    const events = [];
    for await (const event of await ask(door, { background: true, stream: true }))
      if (events.push(event) === 6) break;
    const starting_after = events.at(-1).sequence_number;
    const query = { stream: true, starting_after };
    events.push(...(await all(await client(door).retrieve(events[0].response.id, query))));
    assert.deepEqual(numbers(events), [...events.keys()]);
    assert.equal(textOf(events), (await ask(door)).output_text);
  },
  async background_resumed_by_the_helper(door) {
    const { id } = await ask(door, { background: true });
    const stream = client(door).stream({ response_id: id, starting_after: 1 });
    assert(said(await stream.finalResponse()));
  },
  async background_cancelled(door) {
    const { id } = await ask(door, { background: true });
    assert(FINAL.includes((await client(door).cancel(id)).status));
  },
  async unsupported_parameter(door) {
    const error = await thrown(() => ask(door, { truncation: "auto" }));
    assert(error instanceof OpenAI.BadRequestError, error.message);
    assert.equal(error.code, "unsupported_parameter");
  },
  async unknown_model(door) {
    const error = await thrown(() => ask(door, { model: "gpt-99" }));
    assert(error instanceof OpenAI.NotFoundError, error.message);
  },
};

const thinking = {
  async reasoning_tool_loop(door) {
    const first = await ask(door, { tools });
    assert(first.output[0].summary[0].text);
    const input = [{ role: "user", content: "Hello" }, ...first.output, resultOf(callOf(first))];
    assert((await ask(door, { input, tools })).output_text);
  },
  async reasoning_tool_loop_streamed(door) {
    const first = await final(door, { input: "Hello", tools });
    assert(first.output[0].summary[0].text);
    const more = { tools, previous_response_id: first.id };
    assert(said(await final(door, { input: [resultOf(callOf(first))], ...more })));
  },
};

const agents = {
  async agent(door) {
    const response = await ask(door);
    const call = one(response, "mcp_call");
    assert.equal(call.name, "weather");
    assert.equal(call.output, OUTPUT);
    assert.equal(response.output_text, ANSWER);
  },
  async agent_streamed(door) {
    const events = await all(await ask(door, { stream: true }));
    assert.deepEqual(numbers(events), [...events.keys()]);
    assert.equal(one(events.at(-1).response, "mcp_call").output, OUTPUT);
    assert.equal(textOf(events), ANSWER);
  },
  async agent_stream_helper(door) {
    assert.equal(said(await final(door, { input: "Hello" })), ANSWER);
  },
  async agent_turns(door) {
    const first = await ask(door);
    const next = { input: "And now?", previous_response_id: first.id };
    assert.equal((await ask(door, next)).output_text, ANSWER);
    const [question, more] = ["Hello", "And now?"].map((content) => ({ role: "user", content }));
    const input = [question, ...first.output, more];
    assert.equal((await ask(door, { input })).output_text, ANSWER);
  },
  async agent_background(door) {
    const response = await ended(door, await ask(door, { background: true }));
    assert.equal(one(response, "mcp_call").output, OUTPUT);
    assert.equal(response.output_text, ANSWER);
  },
  async agent_chat(door) {
    const { completions } = new OpenAI({ baseURL: door.url, apiKey: door.key }).chat;
    const asked = { model: door.model, messages: [{ role: "user", content: "Hello" }] };
    assert.equal((await completions.create(asked)).choices[0].message.content, ANSWER);
    const chunks = await all(await completions.create({ ...asked, stream: true }));
    const pieces = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "");
    assert.equal(pieces.join(""), ANSWER);
  },
};

const approvals = {
  async approval(door) {
    const first = await ask(door);
    const second = await ask(door, answered(first, { approve: true }));
    assert.equal(one(second, "mcp_call").output, OUTPUT);
    assert.equal(second.output_text, ANSWER);
    const error = await thrown(() => ask(door, answered(first, { approve: true })));
    assert.equal(error.code, "approval_request_answered");
  },
  async approval_streamed(door) {
    const first = await final(door, { input: "Hello" });
    assert.equal(said(await final(door, answered(first, { approve: true }))), ANSWER);
  },
  async approval_denied(door) {
    const first = await ask(door);
    const second = await ask(door, answered(first, { approve: false, reason: "Not today." }));
    assert(one(second, "mcp_call").output.includes("Not today."));
  },
};

const client = ({ url, key }) => new OpenAI({ baseURL: url, apiKey: key }).responses;
const ask = (door, options = {}) =>
  client(door).create({ model: door.model, input: "Hello", ...options });
const final = (door, options) =>
  client(door).stream({ model: door.model, ...options }).finalResponse();
const numbers = (events) => events.map((event) => event.sequence_number);
const one = ({ output }, type) => output.find((item) => item.type === type);
const callOf = (response) => one(response, "function_call");
const resultOf = ({ call_id }) => ({ type: "function_call_output", call_id, output: "Sun" });

/** Return what answers the request of a response for an approval. */
function answered(response, answer) {
  const { id } = one(response, "mcp_approval_request");
  const input = [{ type: "mcp_approval_response", approval_request_id: id, ...answer }];
  return { input, previous_response_id: response.id };
}

/** Return the text of a response: some versions leave `output_text` out at the end of a stream. */
function said({ output }) {
  const parts = output.flatMap((item) => item.content ?? []);
  return parts.map((part) => part.text).join("");
}

function textOf(events) {
  const deltas = events.filter((event) => event.type === "response.output_text.delta");
  return deltas.map((event) => event.delta).join("");
}

async function ended(door, response) {
  const limit = Date.now() + 60_000;
  while (!FINAL.includes(response.status)) {
    assert(Date.now() < limit, `the response is ${response.status} after 60 s`);
    await setTimeout(100);
    response = await client(door).retrieve(response.id);
  }
  return response;
}

await run("openai", atDoors(checks, thinking, agents, approvals));
