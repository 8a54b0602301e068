import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { SubscriptionsService } from '../billing/subscriptions.service.js';
import { Clock } from '../config/clock.js';
import { refusal, TollgateError } from '../domain/errors.js';
import type { Actor } from '../http/actor.js';
import { userSlug, type UserAccount, type UserPlan } from './account.js';
import { AccountsRepository } from './accounts.repository.js';
import { AccountsService } from './accounts.service.js';
import { UsersRepository } from './users.repository.js';

export interface NewUser {
  readonly email: string;
  readonly name: string;
  readonly plan?: UserPlan;
}

/** People with accounts of their own. */
@Injectable()
export class UsersService {
  constructor(
    private readonly users: UsersRepository,
    private readonly found: AccountsRepository,
    private readonly accounts: AccountsService,
    private readonly subscriptions: SubscriptionsService,
    private readonly clock: Clock,
  ) {}

  async list(limit: number, afterId: string | null): Promise<readonly UserAccount[]> {
    return this.found.listUsers(limit, afterId);
  }

  /** An upgrade is in force at once, a downgrade with the next period. */
  async changePlan(user: UserAccount, plan: UserPlan, actor: Actor): Promise<UserAccount> {
    await this.subscriptions.change(user.id, { plan, seats: 1 }, actor, this.clock.now());
    return (await this.found.findUser(user.id)) ?? user;
  }

  /**
   * Makes a user with an account of his own; where members of organizations have his e-mail
   * address, they are he.
   *
   * @throws TollgateError conflict when the address is a user's already, whatever its case.
   */
  async create({ email, name, plan = 'free' }: NewUser, actor: Actor): Promise<UserAccount> {
    const createdAt = this.clock.now();
    const start = await this.subscriptions.start(plan, 1, createdAt);
    const id = uuidv7();
    const user: UserAccount = {
      kind: 'user',
      id,
      slug: userSlug(id),
      email,
      name,
      plan,
      seats: 1,
      createdAt,
      scheduled: null,
      limits: this.accounts.limitsOfNew(start.plan),
    };
    const result = await this.users.create(user, start, actor);
    if (result === 'created') return user;
    throw new TollgateError(
      refusal('conflict', 'A user has this e-mail address already.', { param: 'email' }),
    );
  }
}
