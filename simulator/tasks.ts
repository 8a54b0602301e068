/** What a request asks for: the kind of answer, and which offers can give it. */
export type Task =
  | 'chat'
  | 'completion'
  | 'responses'
  | 'messages'
  | 'embedding'
  | 'image'
  | 'transcription'
  | 'speech'
  | 'video'
  | 'inference';

/** The tasks of a model that chats. The model's list shows these models and no others. */
export const TEXT_TASKS: readonly Task[] = ['chat', 'completion', 'responses', 'messages'];
