import type { Catalogue, Offer } from './catalogue.js';
import type { CatalogueShape, DirectHost } from './direct-hosts.js';
import type { JsonObject } from './json.js';
import { type PicoUsd, usdPerMillion } from './money.js';
import { hashText } from './random.js';
import type { Task } from './tasks.js';

interface Listed {
  readonly model: string;
  readonly offer: Offer;
}

const FIRST_CREATED = 1_735_689_600;
const PICO_DIGITS = 12;
/** Novita counts prices in ten-thousandths of a USD per million tokens. */
const NOVITA_PRICE_PARTS = 10_000;

/** The body of a provider's own list of models, with its own ids. */
export function directCatalogueJson(catalogue: Catalogue, host: DirectHost): string {
  const listed = catalogue
    .everyOffer()
    .filter(({ offer }) => offer.provider === host.provider && offer.status === 'live')
    .filter(({ offer }) => isListed(offer, host.catalogue));
  const entries = listed.map((one) => entryOf(host.catalogue, one));
  // Together's list is not wrapped in anything.
  return JSON.stringify(
    host.catalogue === 'together' ? entries : { object: 'list', data: entries },
  );
}

/** Lists that state prices know only prices per token, but for Together's, which shows 0 for others. */
function isListed({ tasks }: Offer, shape: CatalogueShape): boolean {
  const isByToken = tasks.includes('chat') || tasks.includes('embedding');
  return isByToken || (shape !== 'deepinfra' && shape !== 'novita' && shape !== 'openrouter');
}

/** Together's word for what a model does. */
const togetherTypes: Readonly<Partial<Record<Task, string>>> = {
  chat: 'chat',
  completion: 'language',
  embedding: 'embedding',
  image: 'image',
  transcription: 'transcribe',
  speech: 'audio',
};

function entryOf(shape: CatalogueShape, listed: Listed): JsonObject {
  const { model, offer } = listed;
  const entry: JsonObject = {
    id: offer.providerModelId,
    object: 'model',
    created: FIRST_CREATED + (hashText(model, 0) % 15_552_000),
    owned_by: ownerOf(model),
  };
  switch (shape) {
    case 'openai':
    case 'none':
      return entry;
    case 'groq':
      return {
        ...entry,
        active: true,
        context_window: offer.contextLength,
        public_apps: null,
        max_completion_tokens: Math.min(offer.contextLength, 32_768),
      };
    case 'fireworks':
      return {
        ...entry,
        owned_by: 'fireworks',
        kind: 'HF_BASE_MODEL',
        supports_chat: true,
        supports_image_input: false,
        supports_tools: true,
        context_length: offer.contextLength,
      };
    case 'vllm':
      return {
        ...entry,
        owned_by: 'vllm',
        root: offer.providerModelId,
        parent: null,
        max_model_len: offer.contextLength,
        permission: [],
      };
    case 'together':
      return together(entry, listed);
    case 'deepinfra':
      return deepinfra(entry, listed);
    case 'novita':
      return novita(entry, listed);
    case 'openrouter':
      return openrouter(entry, listed);
  }
}

function together(entry: JsonObject, { model, offer }: Listed): JsonObject {
  const { owned_by: organization, ...rest } = entry;
  const pricing = shown(offer) && {
    pricing: {
      hourly: 0,
      input: usdPerMillion(offer.price.input),
      output: usdPerMillion(offer.price.output),
      base: 0,
      finetune: 0,
      ...(offer.price.cachedInput !== null && {
        cached_input: usdPerMillion(offer.price.cachedInput),
      }),
    },
  };
  return {
    ...rest,
    type: togetherTypes[offer.tasks[0] ?? 'chat'] ?? 'chat',
    running: false,
    display_name: nameOf(model),
    organization,
    link: `https://huggingface.co/${model}`,
    context_length: offer.contextLength,
    ...pricing,
  };
}

function deepinfra(entry: JsonObject, { offer }: Listed): JsonObject {
  const pricing = shown(offer) && {
    pricing: {
      input_tokens: usdPerMillion(offer.price.input),
      output_tokens: usdPerMillion(offer.price.output),
      ...(offer.price.cachedInput !== null && {
        cache_read_tokens: usdPerMillion(offer.price.cachedInput),
      }),
    },
  };
  const metadata = {
    description: 'A language model',
    context_length: offer.contextLength,
    max_tokens: offer.contextLength,
    ...pricing,
    tags: ['chat'],
  };
  return { ...entry, root: offer.providerModelId, parent: null, metadata };
}

function novita(entry: JsonObject, { model, offer }: Listed): JsonObject {
  const parts = (price: PicoUsd): number => Math.round(usdPerMillion(price) * NOVITA_PRICE_PARTS);
  return {
    ...entry,
    title: nameOf(model),
    description: 'A language model',
    context_size: offer.contextLength,
    ...(shown(offer) && {
      input_token_price_per_m: parts(offer.price.input),
      output_token_price_per_m: parts(offer.price.output),
    }),
    status: 1,
    model_type: 'chat',
    endpoints: ['chat/completions', 'completions'],
  };
}

function openrouter(entry: JsonObject, { model, offer }: Listed): JsonObject {
  const { object: _object, owned_by: _owner, ...rest } = entry;
  const pricing = shown(offer) && {
    pricing: {
      prompt: usdText(offer.price.input),
      completion: usdText(offer.price.output),
      request: '0',
      image: '0',
      web_search: '0',
      internal_reasoning: '0',
      ...(offer.price.cachedInput !== null && {
        input_cache_read: usdText(offer.price.cachedInput),
      }),
    },
  };
  return {
    ...rest,
    canonical_slug: offer.providerModelId,
    hugging_face_id: model,
    name: nameOf(model),
    context_length: offer.contextLength,
    architecture: {
      modality: 'text->text',
      input_modalities: ['text'],
      output_modalities: ['text'],
      tokenizer: 'Other',
      instruct_type: null,
    },
    ...pricing,
    top_provider: {
      context_length: offer.contextLength,
      max_completion_tokens: null,
      is_moderated: false,
    },
    per_request_limits: null,
    supported_parameters: ['max_tokens', 'temperature', 'tools'],
  };
}

function shown({ display }: Offer): boolean {
  return display !== 'hidden';
}

function ownerOf(model: string): string {
  return model.slice(0, model.indexOf('/'));
}

function nameOf(model: string): string {
  return model.slice(model.indexOf('/') + 1);
}

/** 900000n (pico-USD per token) -> "0.0000009" (USD per token). */
function usdText(price: PicoUsd): string {
  const digits = String(price).padStart(PICO_DIGITS + 1, '0');
  const whole = digits.slice(0, -PICO_DIGITS);
  const fraction = digits.slice(-PICO_DIGITS).replace(/0+$/, '');
  return fraction === '' ? whole : `${whole}.${fraction}`;
}
