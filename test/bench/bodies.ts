import { MODEL, streamMark } from './canned-answers.js';

const QUESTION =
  'You are a careful assistant. Answer in one sentence: which of the two trains, the one that ' +
  'leaves at nine and the one that leaves at ten, arrives first if both are on time?';

function body(content: string, isStream = false): string {
  return JSON.stringify({
    model: MODEL,
    ...(isStream && { stream: true }),
    messages: [{ role: 'user', content }],
  });
}

/** About 0.3 KB, as most requests of a chat are. */
export const SMALL_BODY = body(QUESTION);

export const PROMPT_BYTES = 400 * 1024;

/** A long prompt without anything to unescape. */
export function longPrompt(): string {
  return body('A line of a long document, plain. '.repeat(PROMPT_BYTES / 34));
}

/** As long in bytes, but every line ends in an escaped newline and holds escaped quotes. */
export function escapedPrompt(): string {
  const line = 'if (a[0] === "x") return `${b}\\t`;\n';
  const bytes = JSON.stringify(line).length - 2;
  return body(line.repeat(PROMPT_BYTES / bytes));
}

export function streamBody(chunks: number, tickMs: number): string {
  return body(`${QUESTION} ${streamMark(chunks, tickMs)}`, true);
}
