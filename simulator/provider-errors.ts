import { type ErrorAnswer, jsonError } from './error-answers.js';
import type { JsonObject } from './json.js';

/** What went wrong, before each provider says it in its own way. */
export type Complaint = 'unauthorized' | 'unknown_model' | 'not_found' | 'invalid';

type Wording = (
  complaint: Complaint,
  detail: string,
) => { status: number; body: JsonObject; contentType?: string };

const statuses: Readonly<Record<Complaint, number>> = {
  unauthorized: 401,
  unknown_model: 404,
  not_found: 404,
  invalid: 400,
};

/** A complaint in the provider's own shape. `detail`: the model, the path or what is wrong. */
export function providerError(provider: string, complaint: Complaint, detail = ''): ErrorAnswer {
  const { status, body, contentType } = (wordings.get(provider) ?? vllm)(complaint, detail);
  const answer = jsonError(status, body);
  if (contentType !== undefined) answer.headers['content-type'] = contentType;
  return answer;
}

const vllm: Wording = (complaint, detail) => {
  const status = statuses[complaint];
  if (complaint === 'unauthorized') return { status, body: { error: 'Unauthorized' } };
  if (complaint === 'not_found') return { status, body: { detail: 'Not Found' } };
  const isModel = complaint === 'unknown_model';
  const message = isModel ? `The model \`${detail}\` does not exist.` : detail;
  const type = isModel ? 'NotFoundError' : 'BadRequestError';
  return {
    status,
    body: { error: { message, type, param: isModel ? 'model' : null, code: status } },
  };
};

const together: Wording = (complaint, detail) => {
  const status = statuses[complaint];
  const message =
    complaint === 'unauthorized'
      ? 'Invalid API key provided. You can find your API key at https://api.together.xyz/settings/api-keys.'
      : complaint === 'unknown_model'
        ? `Unable to access model ${detail}. Please visit https://api.together.ai/models to view the list of supported models.`
        : detail;
  const code = { unauthorized: 'invalid_api_key', unknown_model: 'model_not_available' };
  const error = {
    message,
    type: 'invalid_request_error',
    param: null,
    code: complaint === 'unauthorized' || complaint === 'unknown_model' ? code[complaint] : null,
  };
  return { status, body: { error } };
};

const groq: Wording = (complaint, detail) => {
  const status = statuses[complaint];
  const type = 'invalid_request_error';
  if (complaint === 'unauthorized') {
    return {
      status,
      body: { error: { message: 'Invalid API Key', type, code: 'invalid_api_key' } },
    };
  }
  if (complaint === 'unknown_model') {
    const message = `The model \`${detail}\` does not exist or you do not have access to it.`;
    return { status, body: { error: { message, type, code: 'model_not_found' } } };
  }
  return { status, body: { error: { message: detail, type } } };
};

const fireworks: Wording = (complaint, detail) => {
  const status = statuses[complaint];
  const message =
    complaint === 'unauthorized'
      ? 'The API key you provided is invalid.'
      : complaint === 'unknown_model'
        ? 'Model not found, inaccessible, and/or not deployed'
        : detail;
  const code = complaint === 'unauthorized' ? 'UNAUTHORIZED' : 'NOT_FOUND';
  return {
    status,
    body: { error: { object: 'error', type: 'invalid_request_error', code, message } },
  };
};

const cerebras: Wording = (complaint, detail) => {
  const status = statuses[complaint];
  switch (complaint) {
    case 'unauthorized':
      return {
        status,
        body: {
          message: 'Wrong API Key',
          type: 'invalid_request_error',
          param: 'api_key',
          code: 'wrong_api_key',
        },
      };
    case 'unknown_model': {
      const message = `Model ${detail} does not exist or you do not have access to it.`;
      const body = { message, type: 'not_found_error', param: 'model', code: 'model_not_found' };
      return { status, body };
    }
    case 'not_found':
    case 'invalid':
      return { status, body: { message: detail, type: 'invalid_request_error' } };
  }
};

const deepinfra: Wording = (complaint, detail) => {
  const status = statuses[complaint];
  if (complaint === 'unauthorized') return { status, body: { detail: 'Invalid token' } };
  const message = complaint === 'unknown_model' ? `The model \`${detail}\` does not exist` : detail;
  const code = complaint === 'unknown_model' ? 'model_not_found' : null;
  return { status, body: { error: { message, type: 'invalid_request_error', param: null, code } } };
};

const novita: Wording = (complaint, detail) => {
  const code = statuses[complaint];
  const said: Readonly<Record<Complaint, readonly [reason: string, message: string]>> = {
    unauthorized: ['INVALID_API_KEY', 'invalid api key'],
    unknown_model: ['MODEL_NOT_FOUND', 'model not found'],
    not_found: ['NOT_FOUND', 'task not found'],
    invalid: ['INVALID_REQUEST_BODY', detail],
  };
  const [reason, message] = said[complaint];
  return { status: code, body: { code, reason, message, metadata: {} } };
};

const cohere: Wording = (complaint, detail) => {
  const status = statuses[complaint];
  if (complaint === 'unauthorized') return { status, body: { message: 'invalid api token' } };
  const message =
    complaint === 'unknown_model'
      ? `model '${detail}' not found, make sure the correct model ID was used and that you have access to the model.`
      : detail;
  return { status, body: { message } };
};

const scaleway: Wording = (complaint, detail) => {
  // An unknown key is refused as forbidden there.
  if (complaint === 'unauthorized') {
    const body = { message: 'authentication is denied', method: 'api_key', reason: 'not_found' };
    return { status: 401, body: { ...body, type: 'denied_authentication' } };
  }
  return { status: statuses[complaint], body: { detail: `${detail}: not found` } };
};

const zai: Wording = (complaint, detail) => {
  const said: Readonly<Record<Complaint, readonly [status: number, code: string, text: string]>> = {
    unauthorized: [401, '401', 'token expired or incorrect'],
    unknown_model: [400, '1211', 'Unknown Model, please check the model code.'],
    not_found: [404, '1210', 'task not found'],
    invalid: [400, '1210', detail],
  };
  const [status, code, message] = said[complaint];
  return { status, body: { error: { code, message } } };
};

const fal: Wording = (complaint, detail) => {
  const status = statuses[complaint];
  switch (complaint) {
    case 'unauthorized':
      return {
        status,
        body: { detail: 'Authentication is required to access this application.' },
      };
    case 'unknown_model':
      return { status, body: { detail: `Application '${detail}' not found` } };
    case 'not_found':
      return { status, body: { detail: 'Request not found' } };
    case 'invalid': {
      const problem = { loc: ['body'], msg: detail, type: 'value_error' };
      return { status: 422, body: { detail: [problem] } };
    }
  }
};

const replicate: Wording = (complaint, detail) => {
  const contentType = 'application/problem+json';
  const status = complaint === 'invalid' ? 422 : statuses[complaint];
  const said: Readonly<Record<Complaint, readonly [title: string, detail: string]>> = {
    unauthorized: ['Unauthenticated', 'You did not pass a valid authentication token'],
    unknown_model: ['Not Found', 'The requested resource could not be found.'],
    not_found: ['Not Found', 'The requested resource could not be found.'],
    invalid: ['Input validation failed', detail],
  };
  const [title, text] = said[complaint];
  return { status, contentType, body: { title, detail: text, status } };
};

const openrouter: Wording = (complaint, detail) => {
  if (complaint === 'unauthorized') {
    return { status: 401, body: { error: { message: 'No auth credentials found', code: 401 } } };
  }
  const message = complaint === 'unknown_model' ? `${detail} is not a valid model ID` : detail;
  const code = complaint === 'not_found' ? 404 : 400;
  return { status: code, body: { error: { message, code } } };
};

const wavespeed: Wording = (complaint, detail) => {
  const code = statuses[complaint];
  const message = complaint === 'unauthorized' ? 'Unauthorized' : detail || 'not found';
  return { status: code, body: { code, message, data: null } };
};

const wordings: ReadonlyMap<string, Wording> = new Map([
  ['together', together],
  ['groq', groq],
  ['fireworks-ai', fireworks],
  ['cerebras', cerebras],
  ['deepinfra', deepinfra],
  ['novita', novita],
  ['cohere', cohere],
  ['scaleway', scaleway],
  ['zai-org', zai],
  ['fal-ai', fal],
  ['replicate', replicate],
  ['openrouter', openrouter],
  ['wavespeed', wavespeed],
  ['nscale', groq],
]);
