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
