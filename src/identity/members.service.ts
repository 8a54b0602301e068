import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { refusal, TollgateError } from '../domain/errors.js';
import { periodOf } from '../domain/periods.js';
import type { Actor } from '../http/actor.js';
import { isUuid } from '../http/pagination.js';
import type { Member, MemberChange } from './member.js';
import { MembersRepository } from './members.repository.js';
import { notFound } from './account-access.js';
import type { Role } from './organization.js';

export interface NewMember {
  readonly email: string;
  readonly name: string;
  readonly role: Role;
  readonly monthlyLimitPicoUsd: bigint | null;
}

@Injectable()
export class MembersService {
  constructor(private readonly members: MembersRepository) {}

  async list(accountId: string, limit: number, afterId: string | null): Promise<readonly Member[]> {
    return this.members.list(accountId, limit, afterId);
  }

  /** @throws TollgateError conflict when the address is a member's already. */
  async create(accountId: string, request: NewMember, actor: Actor): Promise<Member> {
    const createdAt = new Date();
    const member: Member = { id: uuidv7(), accountId, createdAt, ...request };
    const result = await this.members.create(member, periodOf(createdAt), actor);
    if (result === 'created') return member;
    throw new TollgateError(
      refusal('conflict', 'A member of this organization has this e-mail address.', {
        param: 'email',
      }),
    );
  }

  /** @throws TollgateError not_found. */
  async update(accountId: string, id: string, change: MemberChange, actor: Actor): Promise<Member> {
    const member = isUuid(id)
      ? await this.members.update(accountId, id, change, actor, new Date())
      : null;
    if (member === null) throw notFound('member');
    return member;
  }

  /**
   * Removes a member; his tokens admit nothing from this commit on.
   *
   * @throws TollgateError not_found.
   */
  async remove(accountId: string, id: string, actor: Actor): Promise<void> {
    const result = isUuid(id)
      ? await this.members.remove(accountId, id, actor, new Date())
      : 'unknown';
    if (result === 'unknown') throw notFound('member');
  }
}
