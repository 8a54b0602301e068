import { type PublishedUnit, type UnitPrice, unitPrice } from './unit-money.js';

/** One provider that serves one model for a price per unit, not per token. */
export interface UnitOffer {
  readonly provider: string;
  /** The public id, as the Hub knows it. */
  readonly model: string;
  readonly providerModelId: string;
  /** The Hub's name of the task. */
  readonly task: string;
  readonly price: UnitPrice;
}

interface Row {
  readonly provider: string;
  readonly model: string;
  /** Default: the public id. */
  readonly id?: string;
  readonly task: string;
  readonly unit: PublishedUnit;
  readonly usd: string;
}

const image = 'text-to-image';
const video = 'text-to-video';
const speech = 'automatic-speech-recognition';

const fluxDev = { model: 'black-forest-labs/FLUX.1-dev', task: image };
const fluxSchnell = { model: 'black-forest-labs/FLUX.1-schnell', task: image };
const lightning = { model: 'ByteDance/SDXL-Lightning', task: image };
const qwenImage = { model: 'Qwen/Qwen-Image', task: image };
const wan21 = { model: 'Wan-AI/Wan2.1-T2V-14B', task: video };
const wan22 = { model: 'Wan-AI/Wan2.2-T2V-A14B', task: video };
const wan25 = { model: 'Wan-AI/Wan2.5-T2V', task: video };
const whisper = { model: 'openai/whisper-large-v3', task: speech };
const kokoro = { model: 'hexgrad/Kokoro-82M', task: 'text-to-speech' };

const megapixel = (usd: string) => ({ unit: 'megapixel', usd }) as const;
const perImage = (usd: string) => ({ unit: 'image', usd }) as const;
const videoSecond = (usd: string) => ({ unit: 'video_second', usd }) as const;
const gpuSecond = (usd: string) => ({ unit: 'gpu_second', usd }) as const;

const fal = 'fal-ai';
const rows: readonly Row[] = [
  { provider: fal, ...fluxDev, id: 'fal-ai/flux/dev', ...megapixel('0.025') },
  { provider: fal, ...fluxSchnell, id: 'fal-ai/flux/schnell', ...megapixel('0.003') },
  { provider: fal, ...qwenImage, id: 'fal-ai/qwen-image', ...megapixel('0.02') },
  { provider: fal, ...wan25, id: 'fal-ai/wan-25-preview/text-to-video', ...videoSecond('0.05') },
  { provider: fal, ...lightning, id: 'fal-ai/fast-lightning-sdxl', ...perImage('0.0025') },
  { provider: fal, ...whisper, id: 'fal-ai/whisper', ...gpuSecond('0.00111') },
  { provider: fal, ...kokoro, id: 'fal-ai/kokoro', unit: 'character', usd: '0.00002' },
  { provider: 'together', ...wan22, ...videoSecond('0.132') },
  { provider: 'novita', ...wan21, id: 'wan-t2v', ...videoSecond('0.06') },
  { provider: 'novita', ...fluxSchnell, id: 'flux-1-schnell', ...perImage('0.003') },
  {
    provider: 'replicate',
    ...fluxSchnell,
    id: fluxSchnell.model.toLowerCase(),
    ...perImage('0.003'),
  },
  {
    provider: 'replicate',
    ...lightning,
    id: 'bytedance/sdxl-lightning-4step',
    ...gpuSecond('0.000725'),
  },
  {
    provider: 'novita',
    model: 'MiniMaxAI/MiniMax-H3',
    id: 'MiniMax-H3',
    task: 'image-text-to-video',
    ...videoSecond('0.05'),
  },
  { provider: 'black-forest-labs', ...fluxDev, id: 'flux-dev', ...perImage('0.025') },
  { provider: 'replicate', ...wan22, id: 'wan-video/wan-2.2-t2v-fast', ...videoSecond('0.01') },
  { provider: 'replicate', ...whisper, id: 'openai/whisper', ...gpuSecond('0.000225') },
  {
    provider: 'zai-org',
    model: 'zai-org/GLM-Image',
    task: image,
    id: 'glm-image',
    ...perImage('0.015'),
  },
  {
    provider: 'zai-org',
    model: 'zai-org/CogVideoX-3',
    task: video,
    id: 'cogvideox-3',
    ...videoSecond('0.04'),
  },
  { provider: 'wavespeed', ...fluxDev, id: 'wavespeed-ai/flux-dev', ...perImage('0.012') },
  { provider: 'wavespeed', ...wan22, id: 'wavespeed-ai/wan-2.2/t2v-480p', ...videoSecond('0.03') },
  ...serverless([
    ['sentence-transformers/all-MiniLM-L6-v2', 'sentence-similarity'],
    ['BAAI/bge-small-en-v1.5', 'feature-extraction'],
    ['intfloat/multilingual-e5-large', 'feature-extraction'],
    ['distilbert/distilbert-base-uncased-finetuned-sst-2-english', 'text-classification'],
    ['facebook/bart-large-mnli', 'zero-shot-classification'],
    ['dslim/bert-base-NER', 'token-classification'],
    ['google-bert/bert-base-uncased', 'fill-mask'],
    ['deepset/roberta-base-squad2', 'question-answering'],
    ['facebook/bart-large-cnn', 'summarization'],
    ['google-t5/t5-small', 'translation'],
    ['openai-community/gpt2', 'text-generation'],
    ['google/vit-base-patch16-224', 'image-classification'],
    ['stabilityai/stable-diffusion-xl-base-1.0', image],
    [fluxSchnell.model, image],
    [whisper.model, speech],
  ]),
];

function serverless(models: readonly (readonly [model: string, task: string])[]): Row[] {
  return models.map(([model, task]) => ({
    provider: 'hf-inference',
    model,
    task,
    unit: 'compute_second',
    usd: '0.00012',
  }));
}

/** What is served for a price per unit; the prices can be changed while running. */
export class UnitOffers {
  private offers: UnitOffer[] = [];

  constructor() {
    this.reset();
  }

  /** Back to the list prices. */
  reset(): void {
    this.offers = rows.map(({ provider, model, id = model, task, unit, usd }) => ({
      provider,
      model,
      providerModelId: id,
      task,
      price: unitPrice(unit, usd),
    }));
  }

  /** Every offer, in the order of the list. */
  all(): readonly UnitOffer[] {
    return this.offers;
  }

  /** The offers for a public model id. */
  of(model: string): UnitOffer[] {
    return this.offers.filter((offer) => offer.model === model);
  }

  /** What a provider serves under its own id (or the public one where they are the same), or null. */
  at(provider: string, providerModelId: string): UnitOffer | null {
    return (
      this.offers.find(
        (offer) => offer.provider === provider && offer.providerModelId === providerModelId,
      ) ?? null
    );
  }

  /** Adds an offer or replaces its terms: from the next request on, jobs under way keep theirs. */
  set(offer: UnitOffer): void {
    this.offers = [
      ...this.offers.filter(
        (known) => known.provider !== offer.provider || known.model !== offer.model,
      ),
      offer,
    ];
  }
}
