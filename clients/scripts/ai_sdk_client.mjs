// The AI SDK with its provider for services that speak like OpenAI's.
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import * as sdk from "ai";
import { z } from "zod";
import {
  CHAT,
  DIMENSIONS,
  EMBEDDINGS,
  KEY,
  LIMITED_KEY,
  LOCAL_CHAT,
  LOCAL_KEY,
  LOCAL_URL,
  TOO_LONG,
  URL,
  all,
  run,
  thrown,
} from "./checks.mjs";

const provider = (baseURL = URL, apiKey = KEY, options = {}) =>
  createOpenAICompatible({ name: "service", baseURL, apiKey, ...options });
const chat = provider()(CHAT);
const prompt = "Hello";
const CITY = z.object({ city: z.string(), people: z.number() });
const weather = sdk.tool({
  description: "Tell the weather.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `Sun in ${city}`,
});

const checks = {
  async chat() {
    const { text, usage, finishReason } = await sdk.generateText({ model: chat, prompt });
    assert(text);
    assert(usage.outputTokens > 0);
    assert.equal(finishReason, "stop");
  },
  async stream() {
    const pieces = await all(sdk.streamText({ model: chat, prompt }).textStream);
    assert.equal(pieces.join(""), (await sdk.generateText({ model: chat, prompt })).text);
  },
  async stream_usage() {
    const model = provider(URL, KEY, { includeUsage: true })(CHAT);
    assert((await sdk.streamText({ model, prompt }).usage).outputTokens > 0);
  },
  async tool_forced() {
    const options = { model: chat, prompt, tools: { weather }, toolChoice: "required" };
    const { toolCalls } = await sdk.generateText(options);
    assert.equal(toolCalls[0].toolName, "weather");
    assert.equal(typeof toolCalls[0].input.city, "string");
  },
  async tool_forced_streamed() {
    const options = { model: chat, prompt, tools: { weather }, toolChoice: "required" };
    assert.equal((await sdk.streamText(options).toolCalls)[0].toolName, "weather");
  },
  async tool_auto() {
    const { steps, text } = await sdk.generateText({
      model: chat,
      prompt,
      tools: { weather },
      stopWhen: (sdk.stepCountIs ?? sdk.isStepCount)(5),
    });
    assert.equal(steps.length, 2, `there are ${steps.length} steps`);
    assert(text);
  },
  async json_schema() {
    const model = provider(URL, KEY, { supportsStructuredOutputs: true })(CHAT);
    assert.equal(typeof (await object(model)).people, "number");
  },
  async json_object() {
    assert.equal(typeof (await object(chat)).people, "number");
  },
  async embeddings() {
    const models = provider();
    const model = (models.embeddingModel ?? models.textEmbeddingModel)(EMBEDDINGS);
    const { embeddings, usage } = await sdk.embedMany({ model, values: ["one", "two"] });
    assert.deepEqual(embeddings.map((each) => each.length), [DIMENSIONS, DIMENSIONS]);
    assert(usage.tokens > 0);
  },
  async completions_of_old() {
    const model = provider().completionModel(CHAT);
    const { text } = await sdk.generateText({ model, prompt });
    assert(text);
    assert.equal((await all(sdk.streamText({ model, prompt }).textStream)).join(""), text);
  },
  async wrong_key() {
    assert.equal((await refused(provider(URL, "sk-wrong")(CHAT))).statusCode, 401);
  },
  async unknown_model() {
    assert.equal((await refused(provider()("gpt-99"))).statusCode, 404);
  },
  async context_too_long() {
    const error = await refused(provider(LOCAL_URL, LOCAL_KEY)(LOCAL_CHAT), TOO_LONG);
    assert.equal(error.statusCode, 400);
    assert.match(error.message, /maximum context length is/);
  },
  async rate_limit() {
    assert.equal((await refused(provider(URL, LIMITED_KEY)(CHAT), prompt, 3)).statusCode, 429);
  },
};

async function object(model) {
  const prompt = 'Name a city as JSON: {"city": "its name", "people": 1}';
  const output = sdk.Output.object({ schema: CITY });
  const options = { model, prompt, output, experimental_output: output }; // the old one's name
  const result = await sdk.generateText(options);
  return result.output ?? result.experimental_output;
}

async function refused(model, prompt = "Hello", times = 1) {
  return thrown(async () => {
    for (let call = 0; call < times; call++)
      await sdk.generateText({ model, prompt, maxRetries: 0 });
  });
}

await run("ai", checks);
