import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { invalidField } from '../http/validation.pipe.js';

const HEADER = 'Idempotency-Key';
const PLAIN = /^[\x20-\x7e]{1,255}$/;

/**
 * The `Idempotency-Key` of a request that books money; null without one. It is kept apart from the
 * keys that we make ourselves for what is booked only once.
 */
export const IdempotencyKey = createParamDecorator(
  (_data: unknown, context: ExecutionContext): string | null => {
    const { headers } = context.switchToHttp().getRequest<FastifyRequest>();
    const key = headers['idempotency-key'];
    if (key === undefined) return null;
    if (typeof key === 'string' && PLAIN.test(key)) return `key:${key}`;
    throw invalidField(HEADER, 'must be 1 to 255 characters of plain ASCII');
  },
);

/** What the OpenAPI document says of it. */
export function ApiIdempotencyKey(): MethodDecorator {
  return ApiHeader({
    name: HEADER,
    required: false,
    description:
      'At most 255 characters of ASCII. The same key with the same content is booked once and answered the same; with other content it is 422.',
    schema: { type: 'string' },
  });
}
