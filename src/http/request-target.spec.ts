import { expect, it } from 'vitest';
import { targetProblem } from './request-target.js';

it.each([
  '/v1/chat/completions',
  '/v1/models/openai%2Fgpt-oss-120b',
  '/v1/models/openai/gpt-oss-120b',
  '/hf-inference/models/BAAI/bge-m3/pipeline/feature-extraction',
  '/fal-ai/fal-ai/flux/dev?_subdomain=queue&next=%2Fa/../b',
  '/api/organizations/acme/usage?start=2026-11-01T00:00:00Z',
  '/v1/models/a.b..c',
  '/api/requests/%00',
  '/',
])('takes %s', (target) => {
  expect(targetProblem(target)).toBeNull();
});

it.each([
  ['http://elsewhere.example/v1/chat/completions', 'whole URL'],
  ['*', 'whole URL'],
  ['//elsewhere.example/v1', 'empty segment'],
  ['/together//v1/files', 'empty segment'],
  ['/together/../api/keys', 'dot segment'],
  ['/together/v1/..', 'dot segment'],
  ['/together/%2e%2e/api/keys', 'dot segment'],
  ['/together/.%2E/api/keys', 'dot segment'],
  ['/together/./v1/files', 'dot segment'],
  ['/v1/models/..', 'dot segment'],
  ['/v1/chat%2Fcompletions', 'encoded slash'],
  ['/together/v1%2ffiles', 'encoded slash'],
  ['/together/v1%5Cfiles', 'encoded slash'],
  ['/together\\v1', 'encoded slash'],
  ['/v1/models/a%2Fb/c', 'encoded slash'],
  ['/v1/chat%0d%0aHost:x', 'control character'],
  ['/v1/%00', 'control character'],
])('refuses %s', (target, words) => {
  expect(targetProblem(target)).toContain(words);
});
