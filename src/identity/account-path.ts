import { Controller, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

/** The account that a path names, as it was written: nothing of it is looked up or allowed yet. */
export type AccountRef =
  | { readonly kind: 'organization'; readonly slug: string }
  | { readonly kind: 'user'; readonly userId: string }
  /** The own account of the user that the caller's token belongs to. */
  | { readonly kind: 'me' };

const PREFIXES = ['api/organizations/:slug', 'api/users/:userId', 'api/me'] as const;

/**
 * A controller whose routes every account has, whether it is an organization's or a user's own:
 * its paths go on after `/api/organizations/:slug`, `/api/users/:userId` and `/api/me`.
 */
export function AccountController(path = ''): ClassDecorator {
  return Controller(PREFIXES.map((prefix) => (path === '' ? prefix : `${prefix}/${path}`)));
}

/** The account that the path of an `AccountController` names, for `AccountAccess.require`. */
export const PathAccount = createParamDecorator(
  (_data: unknown, context: ExecutionContext): AccountRef => {
    const request = context
      .switchToHttp()
      .getRequest<
        FastifyRequest<{ Params: { readonly slug?: string; readonly userId?: string } }>
      >();
    const { slug, userId } = request.params;
    if (slug !== undefined) return { kind: 'organization', slug };
    return userId === undefined ? { kind: 'me' } : { kind: 'user', userId };
  },
);
