import { NO_MEDIA_FACTS, type MediaRequestFacts } from '../../domain/media.js';

/** What the request of a job said that its result is rated by. */
export interface JobFacts {
  readonly request: MediaRequestFacts;
  readonly inputTextBytes: number;
}

/** As a job keeps it. Quantities are text: a JSON number would lose digits. */
export function jobFactsJson({ request, inputTextBytes }: JobFacts): string {
  return JSON.stringify({
    n: request.n,
    pixels: request.pixels?.toString() ?? null,
    characters: request.characters,
    videoMs: request.videoMs?.toString() ?? null,
    audioBytes: request.audioBytes,
    audioMs: request.audioMs?.toString() ?? null,
    isAudioElsewhere: request.isAudioElsewhere,
    inputTextBytes,
  });
}

/** What was kept; a field that is not there says nothing. */
export function jobFactsOf(json: string): JobFacts {
  const kept = JSON.parse(json) as Readonly<Record<string, unknown>>;
  const count = (name: string): number | null => {
    const value = kept[name];
    return typeof value === 'number' ? value : null;
  };
  const quantity = (name: string): bigint | null => {
    const value = kept[name];
    return typeof value === 'string' && /^\d+$/.test(value) ? BigInt(value) : null;
  };
  return {
    request: {
      ...NO_MEDIA_FACTS,
      n: count('n'),
      pixels: quantity('pixels'),
      characters: count('characters'),
      videoMs: quantity('videoMs'),
      audioBytes: count('audioBytes') ?? 0,
      audioMs: quantity('audioMs'),
      isAudioElsewhere: kept['isAudioElsewhere'] === true,
    },
    inputTextBytes: count('inputTextBytes') ?? 0,
  };
}
