// The AI SDK with OpenAI's own provider, which asks for responses.
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import * as sdk from "ai";
import { z } from "zod";
import { all, atDoors, run, thrown } from "./checks.mjs";

const prompt = "How is the weather in Rome?";
const schema = z.object({ city: z.string(), people: z.number() });
const weather = sdk.tool({
  description: "Tell the weather.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `Sun in ${city}`,
});
const stopWhen = (sdk.stepCountIs ?? sdk.isStepCount)(5);

const checks = {
  async text(door) {
    const { text, usage, finishReason } = await sdk.generateText(asked(door));
    assert(text);
    assert(usage.outputTokens > 0);
    assert.equal(finishReason, "stop");
  },
  async stream(door) {
    const result = sdk.streamText(asked(door));
    const text = (await all(result.textStream)).join("");
    assert.equal(text, (await sdk.generateText(asked(door))).text);
    assert((await result.usage).outputTokens > 0);
    assert.equal(await result.finishReason, "stop");
  },
  async tool_loop(door) {
    const { steps, text } = await sdk.generateText(looping(door));
    assert.equal(steps.length, 2, `there are ${steps.length} steps`);
    assert(text);
  },
  async tool_loop_streamed(door) {
    const result = sdk.streamText(looping(door));
    assert((await all(result.textStream)).join(""));
    assert.equal((await result.steps).length, 2);
  },
  async tool_loop_not_stored(door) {
    const providerOptions = { openai: { store: false } };
    assert((await sdk.generateText({ ...looping(door), providerOptions })).text);
  },
  async turns(door) {
    const first = await sdk.generateText(looping(door));
    const question = { role: "user", content: prompt };
    const messages = [question, ...first.response.messages, { role: "user", content: "And now?" }];
    assert((await sdk.generateText({ model: modelOf(door), messages })).text);
  },
  async continued(door) {
    const { providerMetadata } = await sdk.generateText(asked(door));
    const previousResponseId = providerMetadata.openai.responseId;
    const providerOptions = { openai: { previousResponseId } };
    assert((await sdk.generateText({ ...asked(door), providerOptions })).text);
  },
  async structured(door) {
    assert.equal(typeof (await object(sdk.generateText(structured(door)))).people, "number");
  },
  async structured_streamed(door) {
    const result = sdk.streamText(structured(door));
    assert.equal(typeof JSON.parse(await result.text).people, "number");
  },
  async cut_off(door) {
    const options = { ...asked(door), maxOutputTokens: 3 };
    assert.equal((await sdk.generateText(options)).finishReason, "length");
    assert.equal(await sdk.streamText(options).finishReason, "length");
  },
  async image(door) {
    const image = new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]);
    const content = [{ type: "text", text: prompt }, { type: "image", image }];
    assert((await sdk.generateText({ ...asked(door), prompt: [{ role: "user", content }] })).text);
  },
  async unknown_model(door) {
    const model = modelOf({ ...door, model: "gpt-99" });
    const error = await thrown(() => sdk.generateText({ model, prompt, maxRetries: 0 }));
    assert.equal(error.statusCode, 404);
  },
};

const thinking = {
  async reasoning_tool_loop(door) {
    const { steps, text } = await sdk.generateText(looping(door));
    assert.deepEqual(steps.map((step) => Boolean(step.reasoningText)), [true, true]);
    assert(text);
  },
  async reasoning_tool_loop_streamed(door) {
    const result = sdk.streamText(looping(door));
    const parts = await all(result.fullStream);
    assert(parts.some((part) => part.type === "reasoning-delta"));
    assert.equal((await result.steps).length, 2);
    assert(await result.text);
  },
  async reasoning_turns(door) {
    const first = await sdk.generateText(looping(door));
    const question = { role: "user", content: prompt };
    const messages = [question, ...first.response.messages, { role: "user", content: "And now?" }];
    assert((await sdk.generateText({ model: modelOf(door), messages })).text);
  },
};

const modelOf = ({ url, key, model }) => createOpenAI({ baseURL: url, apiKey: key })(model);
const asked = (door) => ({ model: modelOf(door), prompt, maxRetries: 0, onError: rethrow });
const looping = (door) => ({ ...asked(door), tools: { weather }, stopWhen });

function structured(door) {
  const output = sdk.Output.object({ schema });
  return { ...asked(door), output, experimental_output: output }; // the old one's name
}

async function object(answer) {
  const result = await answer;
  return result.output ?? result.experimental_output;
}

function rethrow({ error }) {
  throw error;
}

await run("@ai-sdk/openai", atDoors(checks, thinking));
