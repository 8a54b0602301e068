import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { Clock } from '../config/clock.js';
import { classifySqlFailure } from '../database/sql-errors.js';
import { allowanceAt, allowanceOf, type Allowance } from '../domain/allowance.js';
import { utcDayOf } from '../domain/periods.js';
import { LOGGER } from '../http/http.module.js';
import { ProcessLoadsService } from './process-loads.service.js';
import { ServerlessAllowanceRepository } from './serverless-allowance.repository.js';

/** A call that was counted, to be given back if it comes to nothing. */
export interface CountedCall {
  readonly accountId: string;
  readonly plan: string;
  /** Its UTC day is the one it counts in. */
  readonly at: Date;
}

export type AllowanceTaken =
  | { readonly kind: 'counted'; readonly call: CountedCall; readonly allowance: Allowance }
  | { readonly kind: 'used_up'; readonly allowance: Allowance }
  /** The database is away: whether there is room is not known. */
  | { readonly kind: 'unavailable' };

/** The most that a count can hold. */
const UNLIMITED = 2_147_483_647;

/** Calls of the serverless tier that an account may make in a UTC day. */
@Injectable()
export class ServerlessAllowanceService {
  constructor(
    private readonly repository: ServerlessAllowanceRepository,
    private readonly loads: ProcessLoadsService,
    private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Counts a call if there is room for it. Never tried again by itself: where the connection broke,
   * the call may have been counted already.
   */
  async take(accountId: string, plan: string): Promise<AllowanceTaken> {
    const at = this.clock.now();
    const limit = this.limitOf(plan);
    try {
      const { isTaken, used } = await this.repository.take(accountId, utcDayOf(at), limit);
      return isTaken
        ? {
            kind: 'counted',
            call: { accountId, plan, at },
            allowance: allowanceAt(limit, used, at),
          }
        : // Refused means that the limit was reached, whatever the statement still saw.
          { kind: 'used_up', allowance: allowanceAt(limit, Math.max(limit, used), at) };
    } catch (error) {
      if (!isAway(error)) throw error;
      return { kind: 'unavailable' };
    }
  }

  /** Counts a call that was made already, past the limit too. */
  async count(
    accountId: string,
    plan: string,
  ): Promise<Exclude<AllowanceTaken, { kind: 'used_up' }>> {
    const at = this.clock.now();
    try {
      const { used } = await this.repository.take(accountId, utcDayOf(at), UNLIMITED);
      const allowance = allowanceAt(this.limitOf(plan), used, at);
      return { kind: 'counted', call: { accountId, plan, at }, allowance };
    } catch (error) {
      if (!isAway(error)) throw error;
      this.logger.warn({ err: error, account: accountId }, 'a serverless call was not counted');
      return { kind: 'unavailable' };
    }
  }

  /**
   * Takes a call out of the day it was counted in. Null when that could not be written: the account
   * then has one call less that day, which is no reason to fail what it is answered.
   */
  async giveBack({ accountId, plan, at }: CountedCall): Promise<Allowance | null> {
    try {
      const used = await this.repository.giveBack(accountId, utcDayOf(at));
      return allowanceAt(this.limitOf(plan), used, at);
    } catch (error) {
      this.logger.error({ err: error, account: accountId }, 'a serverless call was not given back');
      return null;
    }
  }

  /** Takes nothing. */
  async standing(accountId: string, plan: string): Promise<Allowance> {
    const at = this.clock.now();
    const used = await this.repository.usedOn(accountId, utcDayOf(at));
    return allowanceAt(this.limitOf(plan), used, at);
  }

  private limitOf(plan: string): number {
    return allowanceOf(plan, this.loads.load);
  }
}

function isAway(error: unknown): boolean {
  const { kind } = classifySqlFailure(error);
  return kind === 'connection' || kind === 'transient';
}
