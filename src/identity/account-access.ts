import { Injectable } from '@nestjs/common';
import { refusal, TollgateError } from '../domain/errors.js';
import type { Caller, Scope } from '../http/caller.js';
import { isUuid } from '../http/pagination.js';
import type { Account, UserAccount } from './account.js';
import type { AccountRef } from './account-path.js';
import { AccountsRepository } from './accounts.repository.js';
import { isSlug, type Organization } from './organization.js';
import { DEFAULT_SCOPES } from './token.js';

/**
 * The one place where rights are decided. A controller asks it first, and gives its service the
 * account it gets back, never the slug or id that the caller sent. What every account has, an
 * organization's or a user's own, stands under three prefixes with one method:
 *
 *   @DocumentedApi('things')
 *   @UseGuards(CallerGuard)
 *   @AccountController('things')       // /api/organizations/:slug/things, /api/users/:userId/things, /api/me/things
 *   export class ThingsController {
 *     constructor(private readonly access: AccountAccess, private readonly things: ThingsService) {}
 *
 *     @Get()
 *     async list(@PathAccount() path: AccountRef, @CurrentCaller() caller: Caller): Promise<Things> {
 *       const { id } = await this.access.require(caller, path, 'billing.read');
 *       return this.things.list(id);
 *     }
 *
 * `AccountController('')` leaves the rest of the path to the methods. What only an organization has
 * takes `@Controller('api/organizations/:slug/...')` and `requireOrganization(caller, slug, scope)`;
 * a thing under an id of its own, `requireAccount(caller, thing?.accountId ?? null, scope, 'thing')`.
 *
 * Foreign and unknown are the same 404, so that nobody learns what exists; a missing scope is 403
 * and named. The operator may do everything.
 */
@Injectable()
export class AccountAccess {
  constructor(private readonly accounts: AccountsRepository) {}

  /** @throws TollgateError insufficient_scope for everyone but the operator. */
  requireOperator(caller: Caller): void {
    if (caller.kind !== 'operator') {
      throw new TollgateError(
        refusal('insufficient_scope', 'Only the operator can do this: it takes the admin token.'),
      );
    }
  }

  /**
   * The account of a path, if the caller may use it in this way.
   *
   * @param scopes the one that is needed, or several of which any will do.
   * @throws TollgateError not_found when it is foreign or unknown, or `me` nobody's own account;
   *   insufficient_scope.
   */
  async require(
    caller: Caller,
    path: AccountRef,
    scopes: Scope | readonly Scope[],
  ): Promise<Account> {
    if (isForeign(caller, path)) throw notFound(whatOf(path));
    this.requireScope(caller, scopes);
    const account = await this.find(caller, path);
    if (account === null) throw notFound(whatOf(path));
    return account;
  }

  /** The account of a path that only the operator may use in this way. */
  async requireAsOperator(caller: Caller, path: AccountRef): Promise<Account> {
    // Foreign is 404 also here: which accounts exist is nobody's business.
    if (isForeign(caller, path)) throw notFound(whatOf(path));
    this.requireOperator(caller);
    return this.require(caller, path, []);
  }

  /** As `require`, of an organization. */
  async requireOrganization(
    caller: Caller,
    slug: string,
    scopes: Scope | readonly Scope[],
  ): Promise<Organization> {
    return organizationOf(await this.require(caller, { kind: 'organization', slug }, scopes));
  }

  /** As `require`, of a user. */
  async requireUser(
    caller: Caller,
    userId: string,
    scopes: Scope | readonly Scope[],
  ): Promise<UserAccount> {
    const account = await this.require(caller, { kind: 'user', userId }, scopes);
    if (account.kind === 'user') return account;
    throw new Error(`account ${account.id} is no user's own`);
  }

  /** As `requireAsOperator`, of a user. */
  async requireUserAsOperator(caller: Caller, userId: string): Promise<UserAccount> {
    const account = await this.requireAsOperator(caller, { kind: 'user', userId });
    if (account.kind === 'user') return account;
    throw new Error(`account ${account.id} is no user's own`);
  }

  /** As `requireAsOperator`, of an organization. */
  async requireOrganizationAsOperator(caller: Caller, slug: string): Promise<Organization> {
    return organizationOf(await this.requireAsOperator(caller, { kind: 'organization', slug }));
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
    const isForeigners = caller.kind === 'token' && caller.accountId !== accountId;
    if (accountId === null || isForeigners) throw notFound(what);
    this.requireScope(caller, scopes);
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

  private async find(caller: Caller, path: AccountRef): Promise<Account | null> {
    switch (path.kind) {
      case 'organization':
        return isSlug(path.slug) ? this.accounts.findOrganization(path.slug) : null;
      case 'user':
        return isUuid(path.userId) ? this.accounts.findUser(path.userId) : null;
      case 'me':
        return caller.kind === 'token' && caller.userId !== null
          ? this.accounts.findUser(caller.userId)
          : null;
    }
  }
}

/** Not the account of the caller's token, so for him the same as one that does not exist. */
function isForeign(caller: Caller, path: AccountRef): boolean {
  if (path.kind === 'me') return caller.kind === 'operator' || caller.userId === null;
  if (caller.kind === 'operator') return false;
  if (path.kind === 'organization') return caller.slug !== path.slug;
  return caller.userId !== path.userId.toLowerCase();
}

function whatOf({ kind }: AccountRef): string {
  if (kind === 'me') return 'account: /api/me/... is the own account of a user, for his tokens';
  return kind;
}

function organizationOf(account: Account): Organization {
  if (account.kind === 'organization') return account;
  throw new Error(`account ${account.id} is no organization`);
}

/** 404 for a thing that is not there, or not the caller's. */
export function notFound(what: string): TollgateError {
  return new TollgateError(refusal('not_found', `There is no such ${what}.`));
}
