/**
 * Units of quantity that a price can be quoted in (all integers, all counted in the base unit).
 * Token classes are disjoint: `input` never contains `cached_input`, `output` never contains
 * `audio_output`, and so on; a dialect separates what a provider reports as a subset.
 */
export const UNITS = [
  'input',
  'cached_input',
  'cache_write_5m',
  'cache_write_1h',
  'output',
  'audio_input',
  'audio_output',
  'image_input',
  'image_output',
  'image',
  'pixel',
  'video_ms',
  'audio_ms',
  'compute_ms',
  'gpu_ms',
  'character',
  'request',
] as const;

export type Unit = (typeof UNITS)[number];

const UNIT_SET: ReadonlySet<string> = new Set(UNITS);

export function isUnit(text: string): text is Unit {
  return UNIT_SET.has(text);
}

/** Token classes that count towards `inputTokens`, the inclusive total every API shows. */
export const INPUT_TOKEN_UNITS = [
  'input',
  'cached_input',
  'cache_write_5m',
  'cache_write_1h',
  'audio_input',
  'image_input',
] as const satisfies readonly Unit[];

/** Token classes that count towards `outputTokens`, the inclusive total every API shows. */
export const OUTPUT_TOKEN_UNITS = [
  'output',
  'audio_output',
  'image_output',
] as const satisfies readonly Unit[];

/** Every unit that is counted in tokens. */
export const TOKEN_UNITS: ReadonlySet<Unit> = new Set<Unit>([
  ...INPUT_TOKEN_UNITS,
  ...OUTPUT_TOKEN_UNITS,
]);

/**
 * What a unit without a price row of its own is priced as (the event is then marked
 * `priceAssumed`). Units that are not listed have no parent: without a row they are unpriced.
 */
export const PARENT_UNIT: Readonly<Partial<Record<Unit, Unit>>> = { cached_input: 'input' };
