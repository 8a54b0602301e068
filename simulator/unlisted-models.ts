/**
 * Models that do not chat. The router's list does not show them: who wants to price them is told the
 * prices (`unlistedPrices` in unlisted-prices.ts). Every provider takes a price of its own, so that an
 * event priced by the wrong one shows.
 */
import type { RateUnit } from './money.js';
import type { OfferTerms } from './offer-terms.js';
import type { Task } from './tasks.js';

/** USD 0.50 (together), 0.20 (nebius, the fastest), 0.10 (deepinfra, the cheapest) per million tokens. */
export const EMBEDDINGS = 'tollgate-sim/embeddings';
/** USD 0.04 (together, the fastest) and 0.03 (nebius) per image. */
export const PER_IMAGE = 'tollgate-sim/per-image';
/** USD 0.025 (together, the fastest) and 0.02 (deepinfra) per megapixel. */
export const PER_PIXEL = 'tollgate-sim/per-pixel';
/** Text and picture tokens, USD 5, 10 and 40 per million at openai, 4, 8 and 32 at nebius. */
export const IMAGE_TOKENS = 'tollgate-sim/image-tokens';
/** USD 0.111 an hour (groq, the fastest), 0.006 a minute (openai), 0.0001 a second (together). */
export const TRANSCRIPTION = 'tollgate-sim/transcription';
/** Audio tokens in and text tokens out: USD 6 and 10 per million at openai, 5 and 8 at nebius. */
export const TRANSCRIPTION_TOKENS = 'tollgate-sim/transcription-tokens';
/** USD 0.000015 (together, the fastest) and 0.00000062 (deepinfra) per character. */
export const SPEECH = 'tollgate-sim/speech';
/** Text tokens in and audio tokens out: USD 0.60 and 12 per million at openai, 0.50 and 10 at nebius. */
export const SPEECH_TOKENS = 'tollgate-sim/speech-tokens';

interface Row {
  readonly provider: string;
  readonly input?: string;
  readonly output?: string;
  readonly rates?: readonly (readonly [unit: RateUnit, usd: string])[];
}

/** The first row is the fastest, the second the next, and so on. */
function model(
  id: string,
  task: Task,
  rows: readonly Row[],
): { model: string; offers: readonly OfferTerms[] } {
  const offers = rows.map(({ provider, input = '0', output = '0', rates = [] }, index) => ({
    provider,
    task,
    inputUsdPerMillion: input,
    outputUsdPerMillion: output,
    rates,
    tokensPerSecond: 400 - 100 * index,
  }));
  return { model: id, offers };
}

const per = (provider: string, unit: RateUnit, usd: string): Row => ({
  provider,
  rates: [[unit, usd]],
});

const embedding = (id: string, rows: readonly (readonly [provider: string, usd: string])[]) =>
  model(
    id,
    'embedding',
    rows.map(([provider, input]) => ({ provider, input })),
  );

export const unlistedModels: readonly { model: string; offers: readonly OfferTerms[] }[] = [
  embedding(EMBEDDINGS, [
    ['nebius', '0.20'],
    ['together', '0.50'],
    ['deepinfra', '0.10'],
  ]),
  embedding('BAAI/bge-m3', [
    ['deepinfra', '0.01'],
    ['novita', '0.012'],
  ]),
  model(PER_IMAGE, 'image', [per('together', 'image', '0.04'), per('nebius', 'image', '0.03')]),
  model(PER_PIXEL, 'image', [
    per('together', 'megapixel', '0.025'),
    per('deepinfra', 'megapixel', '0.02'),
  ]),
  model('black-forest-labs/FLUX.1-schnell', 'image', [per('together', 'megapixel', '0.0027')]),
  model(IMAGE_TOKENS, 'image', [
    {
      provider: 'openai',
      input: '5',
      rates: [
        ['image_input', '10'],
        ['image_output', '40'],
      ],
    },
    {
      provider: 'nebius',
      input: '4',
      rates: [
        ['image_input', '8'],
        ['image_output', '32'],
      ],
    },
  ]),
  model(TRANSCRIPTION, 'transcription', [
    per('groq', 'audio_hour', '0.111'),
    per('openai', 'audio_minute', '0.006'),
    per('together', 'audio_second', '0.0001'),
  ]),
  model(TRANSCRIPTION_TOKENS, 'transcription', [
    { provider: 'openai', output: '10', rates: [['audio_input', '6']] },
    { provider: 'nebius', output: '8', rates: [['audio_input', '5']] },
  ]),
  model(SPEECH, 'speech', [
    per('together', 'character', '0.000015'),
    per('deepinfra', 'character', '0.00000062'),
  ]),
  model(SPEECH_TOKENS, 'speech', [
    { provider: 'openai', input: '0.60', rates: [['audio_output', '12']] },
    { provider: 'nebius', input: '0.50', rates: [['audio_output', '10']] },
  ]),
];
