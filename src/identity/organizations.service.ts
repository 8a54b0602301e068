import { Inject, Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { refusal, TollgateError } from '../domain/errors.js';
import { formatUsd } from '../domain/money.js';
import { periodOf } from '../domain/periods.js';
import type { Actor } from '../http/actor.js';
import { decideLimits, type LimitsRefused, type LimitsRequest } from './limit-change.js';
import {
  isSlug,
  type Organization,
  type OrganizationChange,
  type OrganizationLimits,
  type Plan,
} from './organization.js';
import { OrganizationsRepository } from './organizations.repository.js';

export interface NewOrganization {
  readonly name: string;
  readonly slug: string;
  readonly plan: Plan;
  readonly seats?: number;
}

@Injectable()
export class OrganizationsService {
  constructor(
    private readonly organizations: OrganizationsRepository,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  async find(slug: string): Promise<Organization | null> {
    return isSlug(slug) ? this.organizations.findBySlug(slug) : null;
  }

  async list(limit: number, afterSlug: string | null): Promise<readonly Organization[]> {
    return this.organizations.list(limit, afterSlug);
  }

  /** @throws TollgateError conflict when the slug is taken. */
  async create(request: NewOrganization, actor: Actor): Promise<Organization> {
    const { organization, isNew } = await this.createOnce(request, actor);
    if (isNew) return organization;
    throw new TollgateError(
      refusal('conflict', `The slug ${request.slug} is taken: choose another.`, { param: 'slug' }),
    );
  }

  /** The organization of this slug, made if there is none. For what happens at every start. */
  async createOnce(
    request: NewOrganization,
    actor: Actor,
  ): Promise<{ organization: Organization; isNew: boolean }> {
    const createdAt = new Date();
    const organization: Organization = {
      id: uuidv7(),
      slug: request.slug,
      name: request.name,
      plan: request.plan,
      seats: request.seats ?? 1,
      createdAt,
      limits: this.limitsOfNew(request.plan),
    };
    const result = await this.organizations.create(organization, periodOf(createdAt), actor);
    if (result === 'created') return { organization, isNew: true };
    const existing = await this.organizations.findBySlug(request.slug);
    if (existing === null) {
      throw new TollgateError(
        refusal('conflict', `The slug ${request.slug} is taken: choose another.`),
      );
    }
    return { organization: existing, isNew: false };
  }

  /** A change of the plan leaves the limits as they are: they are a decision of their own. */
  async update(
    organization: Organization,
    change: OrganizationChange,
    actor: Actor,
  ): Promise<Organization> {
    return this.organizations.update(organization.id, change, actor, new Date());
  }

  /** @throws TollgateError insufficient_scope for what only the operator may decide. */
  async setLimits(
    organization: Organization,
    request: LimitsRequest,
    isOperator: boolean,
    actor: Actor,
  ): Promise<Organization> {
    const result = await this.organizations.changeLimits(
      organization.id,
      (current) => decideLimits(current, request, isOperator),
      actor,
      new Date(),
    );
    if (!('kind' in result)) return result;
    throw operatorOnly(result, organization.limits.maxSpendLimitPicoUsd);
  }

  /** Free spends its credit and no more, until pay-as-you-go is switched on. */
  private limitsOfNew(plan: Plan): OrganizationLimits {
    return {
      monthlySpendLimitPicoUsd: this.config.defaultSpendLimitPicoUsd,
      isPayAsYouGo: plan !== 'free',
      maxSpendLimitPicoUsd: this.config.defaultSpendLimitPicoUsd,
      requestsPerMinute: null,
      requestsPerDay: null,
    };
  }
}

function operatorOnly({ reason }: LimitsRefused, max: bigint | null): TollgateError {
  const cap = max === null ? '' : ` ($${formatUsd(max)})`;
  const messages = {
    max_spend_limit: 'maxSpendLimitUsd is set by the operator only.',
    above_max: `Only the operator lets an organization spend more than its maxSpendLimitUsd${cap}.`,
    no_limit: 'Only the operator lets an organization spend without a monthlySpendLimitUsd.',
  } as const;
  return new TollgateError(refusal('insufficient_scope', messages[reason]));
}
