import { Injectable } from '@nestjs/common';
import { refusal, TollgateError } from '../domain/errors.js';
import type { Caller, Scope } from '../http/caller.js';
import { isSlug, type Organization } from './organization.js';
import { OrganizationsRepository } from './organizations.repository.js';
import { DEFAULT_SCOPES } from './token.js';

/**
 * The one place where rights are decided. A controller calls one of these first, and gives its
 * service the account it gets back, never the slug or id that the caller sent:
 *
 *   this.access.requireOperator(caller);
 *   const organization = await this.access.requireOrganization(caller, slug, 'billing.read');
 *   this.access.requireAccount(caller, event?.accountId ?? null, 'usage.read');   // GET /api/requests/{id}
 *
 * Foreign and unknown are the same 404, so that nobody learns what exists; a missing scope is 403
 * and named. The operator may do everything.
 */
@Injectable()
export class OrganizationAccess {
  constructor(private readonly organizations: OrganizationsRepository) {}

  /** @throws TollgateError insufficient_scope for everyone but the operator. */
  requireOperator(caller: Caller): void {
    if (caller.kind !== 'operator') {
      throw new TollgateError(
        refusal('insufficient_scope', 'Only the operator can do this: it takes the admin token.'),
      );
    }
  }

  /**
   * The organization of a path, if the caller may use it in this way.
   *
   * @param scopes the one that is needed, or several of which any will do.
   * @throws TollgateError not_found when it is foreign or unknown; insufficient_scope.
   */
  async requireOrganization(
    caller: Caller,
    slug: string,
    scopes: Scope | readonly Scope[],
  ): Promise<Organization> {
    if (caller.kind === 'token' && caller.slug !== slug) throw notFound('organization');
    this.requireScope(caller, scopes);
    const organization = isSlug(slug) ? await this.organizations.findBySlug(slug) : null;
    if (organization === null) throw notFound('organization');
    return organization;
  }

  /**
   * Lets through what belongs to an account that the caller may use in this way.
   *
   * @param accountId owner of the row that was asked for; null: there is no such row.
   * @param what names it in the 404.
   * @throws TollgateError not_found when it is foreign or there is none; insufficient_scope.
   */
  requireAccount(
    caller: Caller,
    accountId: string | null,
    scopes: Scope | readonly Scope[],
    what = 'object',
  ): void {
    const isForeign = caller.kind === 'token' && caller.accountId !== accountId;
    if (accountId === null || isForeign) throw notFound(what);
    this.requireScope(caller, scopes);
  }

  /** The organization of a path that only the operator may use in this way. */
  async requireOrganizationAsOperator(caller: Caller, slug: string): Promise<Organization> {
    // Foreign is 404 also here: which slugs exist is nobody's business.
    if (caller.kind === 'token' && caller.slug !== slug) throw notFound('organization');
    this.requireOperator(caller);
    return this.requireOrganization(caller, slug, []);
  }

  /**
   * A token hands on no right that it lacks itself, but for those that every token has by default.
   *
   * @throws TollgateError insufficient_scope, naming what is missing.
   */
  requireGrantable(caller: Caller, scopes: readonly Scope[]): void {
    for (const scope of scopes) {
      if (!DEFAULT_SCOPES.includes(scope)) this.requireScope(caller, scope);
    }
  }

  /** @throws TollgateError insufficient_scope, naming what is missing. */
  requireScope(caller: Caller, scopes: Scope | readonly Scope[]): void {
    if (caller.kind === 'operator') return;
    const accepted = typeof scopes === 'string' ? [scopes] : scopes;
    if (accepted.some((scope) => caller.scopes.has(scope))) return;
    throw new TollgateError(
      refusal('insufficient_scope', `The token lacks the scope ${accepted.join(' or ')}.`, {
        details: { missingScopes: accepted },
      }),
    );
  }
}

/** 404 for a thing that is not there, or not the caller's. */
export function notFound(what: string): TollgateError {
  return new TollgateError(refusal('not_found', `There is no such ${what}.`));
}
