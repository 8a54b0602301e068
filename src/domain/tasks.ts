/** What a request asks a provider to do; stored with its event as `task`. */
export const TASKS = [
  'chat',
  'completion',
  'responses',
  'messages',
  'embedding',
  'image',
  'transcription',
  'speech',
  'video',
  /** Anything else that a provider's own route offers. */
  'inference',
] as const;

export type Task = (typeof TASKS)[number];

const TEXT_TASKS: ReadonlySet<string> = new Set<Task>([
  'chat',
  'completion',
  'responses',
  'messages',
]);

/** Whether it is made of text in and text out: both are used, and both must have a price. */
export function isTextTask(task: string): boolean {
  return TEXT_TASKS.has(task);
}
