import { chatEndpoint } from './chat.js';
import { completionEndpoint } from './completions.js';
import { embeddingEndpoint } from './embeddings.js';
import type { Endpoint } from './endpoint.js';
import { imageEndpoint } from './images.js';
import { messagesEndpoint } from './messages.js';
import { responsesEndpoint } from './responses.js';
import { speechEndpoint } from './speech.js';

/** The OpenAI-style routes with a JSON body: a path that ends another's stands behind it. */
export const endpoints: readonly Endpoint[] = [
  chatEndpoint,
  completionEndpoint,
  embeddingEndpoint,
  responsesEndpoint,
  messagesEndpoint,
  imageEndpoint,
  speechEndpoint,
];
