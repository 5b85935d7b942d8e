// OpenAI's own client for Node.
import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import OpenAI, { toFile } from "openai";
import {
  CHAT,
  DIMENSIONS,
  EMBEDDINGS,
  KEY,
  LIMITED_KEY,
  LOCAL_CHAT,
  LOCAL_KEY,
  LOCAL_URL,
  MESSAGES,
  TOO_LONG,
  URL,
  all,
  run,
  thrown,
} from "./checks.mjs";

const CITY = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const WEATHER = { type: "function", function: { name: "weather", parameters: CITY } };
const ENDPOINT = { endpoint: "/v1/chat/completions", completion_window: "24h" };

const client = new OpenAI({ baseURL: URL, apiKey: KEY });

const checks = {
  async chat() {
    const answer = await ask();
    assert(answer.choices[0].message.content);
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert(answer.usage.total_tokens > answer.usage.prompt_tokens);
    assert(answer._request_id);
  },
  async stream() {
    const chunks = await all(await ask({ stream: true }));
    assert.equal(chunks.map(textOf).join(""), await whole());
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
  },
  async stream_usage() {
    const chunks = await all(await ask({ stream: true, stream_options: { include_usage: true } }));
    assert.deepEqual(chunks.at(-1).choices, []);
    assert(chunks.at(-1).usage.completion_tokens > 0);
  },
  async nulls() {
    const absent = { stream: null, stream_options: null, temperature: null, tools: null };
    assert((await ask(absent)).choices[0].message.content);
  },
  async tool_forced() {
    const tool_choice = { type: "function", function: { name: "weather" } };
    const answer = await ask({ tools: [WEATHER], tool_choice });
    const call = answer.choices[0].message.tool_calls[0].function;
    assert.equal(call.name, "weather");
    assert("city" in JSON.parse(call.arguments));
  },
  async tool_auto() {
    const { message, finish_reason } = (await ask({ tools: [WEATHER] })).choices[0];
    assert.equal(finish_reason, "tool_calls");
    const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "Sun" };
    const second = await ask({ messages: [...MESSAGES, message, result], tools: [WEATHER] });
    assert.equal(second.choices[0].finish_reason, "stop");
  },
  async json_schema() {
    const json_schema = { name: "city", strict: true, schema: CITY };
    const answer = await ask({ response_format: { type: "json_schema", json_schema } });
    assert("city" in JSON.parse(answer.choices[0].message.content));
  },
  async json_object() {
    const messages = [{ role: "user", content: `JSON of this schema: ${JSON.stringify(CITY)}` }];
    const answer = await ask({ messages, response_format: { type: "json_object" } });
    assert.equal(typeof JSON.parse(answer.choices[0].message.content), "object");
  },
  async embeddings() {
    const request = { model: EMBEDDINGS, input: ["one", "two"] };
    const answers = [
      await client.embeddings.create(request), // asks for base64 where the version does
      await client.embeddings.create({ ...request, encoding_format: "float" }),
    ];
    for (const { data } of answers)
      assert.deepEqual(data.map((each) => each.embedding.length), [DIMENSIONS, DIMENSIONS]);
    const [one, other] = answers.map(({ data }) => data[0].embedding[0]);
    assert(Math.abs(one - other) < 1e-6);
  },
  async completions_of_old() {
    const request = { model: CHAT, prompt: "Hello", max_tokens: 8 };
    const text = (await client.completions.create(request)).choices[0].text;
    assert(text);
    const chunks = await all(await client.completions.create({ ...request, stream: true }));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.text ?? "").join(""), text);
  },
  async models() {
    assert((await all(client.models.list())).some((model) => model.id === CHAT));
    assert.equal((await client.models.retrieve(CHAT)).id, CHAT);
  },
  async files() {
    const file = await upload(["one"]);
    assert.equal((await client.files.retrieve(file.id)).filename, "b.jsonl");
    assert((await all(client.files.list())).some((each) => each.id === file.id));
    assert.equal(await (await client.files.content(file.id)).text(), lines(["one"]));
    await (client.files.delete ?? client.files.del).call(client.files, file.id);
    await thrown(() => client.files.retrieve(file.id));
  },
  async batch() {
    const input_file_id = (await upload(["one", "two", "wrong"])).id;
    const batch = await finished(await client.batches.create({ input_file_id, ...ENDPOINT }));
    assert.equal(batch.status, "completed");
    assert.deepEqual(batch.request_counts, { total: 3, completed: 2, failed: 1 });
    const good = await results(batch.output_file_id);
    assert.deepEqual(good.map((line) => line.custom_id).sort(), ["one", "two"]);
    assert(good[0].response.body.choices[0].message.content);
    const [wrong] = await results(batch.error_file_id);
    assert.equal(wrong.response?.status_code, 404, "the wrong line has no response");
  },
  async wrong_key() {
    const stranger = new OpenAI({ baseURL: URL, apiKey: "sk-wrong" });
    const error = await thrown(() => stranger.chat.completions.create(request({})));
    assert(error instanceof OpenAI.AuthenticationError, error.message);
    assert.equal(error.code, "invalid_api_key");
  },
  async unknown_model() {
    const error = await thrown(() => ask({ model: "gpt-99" }));
    assert(error instanceof OpenAI.NotFoundError, error.message);
    assert.equal(error.code, "model_not_found");
  },
  async bad_request() {
    const error = await thrown(() => ask({ temperature: 9 }));
    assert(error instanceof OpenAI.BadRequestError, error.message);
    assert.equal(error.param, "temperature");
  },
  async context_too_long() {
    const local = new OpenAI({ baseURL: LOCAL_URL, apiKey: LOCAL_KEY });
    const messages = [{ role: "user", content: TOO_LONG }];
    const error = await thrown(() => local.chat.completions.create({ model: LOCAL_CHAT, messages }));
    assert.equal(error.code, "context_length_exceeded");
    assert.match(error.message, /maximum context length is/);
  },
  async rate_limit() {
    const limited = new OpenAI({ baseURL: URL, apiKey: LIMITED_KEY, maxRetries: 0 });
    const error = await thrown(async () => {
      for (let call = 0; call < 3; call++) await limited.chat.completions.create(request({}));
    });
    assert(error instanceof OpenAI.RateLimitError, error.message);
  },
};

const request = (options) => ({ model: CHAT, messages: MESSAGES, ...options });
const ask = (options = {}) => client.chat.completions.create(request(options));
const whole = async () => (await ask()).choices[0].message.content;
const textOf = (chunk) => chunk.choices[0]?.delta.content ?? "";

function lines(names) {
  return names.map((name) => {
    const body = { model: name === "wrong" ? "gpt-99" : CHAT, messages: MESSAGES, max_tokens: 4 };
    return JSON.stringify({ custom_id: name, method: "POST", url: ENDPOINT.endpoint, body });
  }).join("\n");
}

async function upload(names) {
  const file = await toFile(Buffer.from(lines(names)), "b.jsonl");
  return client.files.create({ file, purpose: "batch" });
}

async function finished(batch) {
  const limit = Date.now() + 60_000;
  while (["validating", "in_progress", "finalizing"].includes(batch.status)) {
    assert(Date.now() < limit, `the batch is ${batch.status} after 60 s`);
    await setTimeout(100);
    batch = await client.batches.retrieve(batch.id);
  }
  return batch;
}

async function results(file) {
  return (await (await client.files.content(file)).text()).trim().split("\n").map(JSON.parse);
}

await run("openai", checks);
