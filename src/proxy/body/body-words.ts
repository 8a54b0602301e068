/**
 * The words of chat bodies that carry meaning for the bound of a request's input: member names and
 * values of `type`. Looked up by their bytes, because a body has thousands of names and turning each
 * into a string would cost more than reading it.
 */
export const WORD = {
  none: 0,
  type: 1,
  imageUrl: 2,
  url: 3,
  inputAudio: 4,
  data: 5,
  source: 6,
  audioUrl: 7,
  videoUrl: 8,
  fileId: 9,
  /** Names whose values are no text of the request: roles, ids, formats. */
  label: 10,
  /** An earlier spoken answer, named by its id. */
  audio: 11,
  /** What a tool was called with: rendered as text whatever it looks like. */
  callInput: 12,
} as const;

export type Word = (typeof WORD)[keyof typeof WORD];

/** What the `type` of a part makes it; bits, collected per object. */
export const PART = {
  image: 1,
  audio: 2,
  video: 4,
  file: 8,
  base64: 16,
  text: 32,
} as const;

export class WordTable<Value extends number> {
  private readonly byLength: { readonly bytes: Buffer; readonly value: Value }[][] = [];
  private readonly byText: ReadonlyMap<string, Value>;

  constructor(
    words: Readonly<Record<string, Value>>,
    private readonly missing: Value,
  ) {
    this.byText = new Map(Object.entries(words));
    for (const [text, value] of this.byText) {
      const bytes = Buffer.from(text);
      (this.byLength[bytes.length] ??= []).push({ bytes, value });
    }
  }

  /** Looks up the bytes between two quotes; `isEscaped` when they must be decoded first. */
  find(body: Buffer, start: number, end: number, isEscaped: boolean): Value {
    if (isEscaped) return this.byText.get(decodeString(body, start, end, true)) ?? this.missing;
    const candidates = this.byLength[end - start];
    if (candidates === undefined) return this.missing;
    for (const { bytes, value } of candidates) {
      let index = 0;
      while (index < bytes.length && body[start + index] === bytes[index]) index++;
      if (index === bytes.length) return value;
    }
    return this.missing;
  }
}

/** The text of a JSON string, given the offsets between its quotes. */
export function decodeString(body: Buffer, start: number, end: number, isEscaped: boolean): string {
  if (!isEscaped) return body.toString('utf8', start, end);
  return String(JSON.parse(body.toString('utf8', start - 1, end + 1)));
}

export const MEMBER_WORDS = new WordTable<Word>(
  {
    type: WORD.type,
    image_url: WORD.imageUrl,
    url: WORD.url,
    input_audio: WORD.inputAudio,
    data: WORD.data,
    source: WORD.source,
    audio_url: WORD.audioUrl,
    video_url: WORD.videoUrl,
    file_id: WORD.fileId,
    audio: WORD.audio,
    input: WORD.callInput,
    arguments: WORD.callInput,
    parameters: WORD.callInput,
    action: WORD.callInput,
    role: WORD.label,
    id: WORD.label,
    call_id: WORD.label,
    tool_call_id: WORD.label,
    tool_use_id: WORD.label,
    detail: WORD.label,
    format: WORD.label,
    media_type: WORD.label,
    status: WORD.label,
  },
  WORD.none,
);

export const PART_TYPES = new WordTable<number>(
  {
    image: PART.image,
    image_url: PART.image,
    input_image: PART.image,
    audio: PART.audio,
    audio_url: PART.audio,
    input_audio: PART.audio,
    video: PART.video,
    video_url: PART.video,
    input_video: PART.video,
    file: PART.file,
    input_file: PART.file,
    document: PART.file,
    base64: PART.base64,
    text: PART.text,
    content: PART.text,
  },
  0,
);
