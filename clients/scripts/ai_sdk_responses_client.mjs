// The AI SDK with OpenAI's own provider, which asks for responses.
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import * as sdk from "ai";
import { z } from "zod";
import { all, ANSWER, atDoors, OUTPUT, run, thrown } from "./checks.mjs";

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

const agents = {
  async agent(door) {
    const { text, steps } = await sdk.generateText(asked(door));
    assert.equal(text, ANSWER);
    assert.equal(outputOf(steps), OUTPUT);
  },
  async agent_streamed(door) {
    const result = sdk.streamText(asked(door));
    assert.equal((await all(result.textStream)).join(""), ANSWER);
    assert.equal(outputOf(await result.steps), OUTPUT);
    assert.equal(await result.finishReason, "stop");
  },
  async agent_turns(door) {
    for (const store of [true, false]) {
      const options = { providerOptions: { openai: { store } } };
      const { response } = await sdk.generateText({ ...asked(door), ...options });
      const turns = [question, ...response.messages, { role: "user", content: "And now?" }];
      const next = { model: modelOf(door), messages: turns, ...options };
      assert.equal((await sdk.generateText(next)).text, ANSWER);
    }
  },
  async agent_chat(door) {
    const options = { ...asked(door), model: providerOf(door).chat(door.model) };
    assert.equal((await sdk.generateText(options)).text, ANSWER);
    assert.equal((await all(sdk.streamText(options).textStream)).join(""), ANSWER);
  },
};

const approvals = {
  async approval(door) {
    const first = await sdk.generateText(asked(door));
    const messages = [question, ...first.response.messages, approval(first.content)];
    const second = await sdk.generateText({ model: modelOf(door), messages });
    assert.equal(second.text, ANSWER);
    assert.equal(outputOf(second.steps), OUTPUT);
  },
  async approval_streamed(door) {
    const first = sdk.streamText(asked(door));
    const { messages } = await first.response;
    const turns = [question, ...messages, approval(await first.content)];
    const second = sdk.streamText({ model: modelOf(door), messages: turns, onError: rethrow });
    assert.equal(await second.text, ANSWER);
  },
};

const question = { role: "user", content: prompt };
const providerOf = ({ url, key }) => createOpenAI({ baseURL: url, apiKey: key });
const modelOf = (door) => providerOf(door)(door.model);
const asked = (door) => ({ model: modelOf(door), prompt, maxRetries: 0, onError: rethrow });
const looping = (door) => ({ ...asked(door), tools: { weather }, stopWhen });

/** Return the output of the one tool that the server has called. */
function outputOf(steps) {
  const [{ output }] = steps.flatMap((step) => step.toolResults);
  return output.output;
}

/** Return the message that approves of the call in an answer, which the server executes. */
function approval(content) {
  const { approvalId } = content.find((part) => part.type === "tool-approval-request");
  const answer = { approvalId, approved: true, providerExecuted: true };
  return { role: "tool", content: [{ type: "tool-approval-response", ...answer }] };
}

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

await run("@ai-sdk/openai", atDoors(checks, thinking, agents, approvals));
