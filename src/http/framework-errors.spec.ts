import { fastify } from 'fastify';
import { expect, it } from 'vitest';
import { answerFrameworkError } from './framework-errors.js';

it.each([
  ['/%zz', 400, 'invalid_request'],
  [`/things/${'x'.repeat(500)}`, 404, 'unknown_route'],
])('a path that the router cannot read is refused in our shape: %s', async (url, status, code) => {
  const server = fastify({
    frameworkErrors: answerFrameworkError,
    genReqId: () => 'the-id',
    routerOptions: { maxParamLength: 100 },
  });
  server.get('/things/:id', () => 'found');
  const answer = await server.inject({ method: 'GET', url });
  expect(answer.statusCode).toBe(status);
  expect(answer.headers['x-request-id']).toBe('the-id');
  expect(answer.headers['content-type']).toContain('application/json');
  expect(answer.json()).toMatchObject({ error: { code } });
  await server.close();
});
