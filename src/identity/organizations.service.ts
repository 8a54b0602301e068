import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { SubscriptionsService } from '../billing/subscriptions.service.js';
import { Clock } from '../config/clock.js';
import { refusal, TollgateError } from '../domain/errors.js';
import type { Actor } from '../http/actor.js';
import { AccountsRepository } from './accounts.repository.js';
import { AccountsService } from './accounts.service.js';
import { isSlug, type Organization, type OrganizationChange, type Plan } from './organization.js';
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
    private readonly found: AccountsRepository,
    private readonly accounts: AccountsService,
    private readonly subscriptions: SubscriptionsService,
    private readonly clock: Clock,
  ) {}

  async find(slug: string): Promise<Organization | null> {
    return isSlug(slug) ? this.found.findOrganization(slug) : null;
  }

  async list(limit: number, afterSlug: string | null): Promise<readonly Organization[]> {
    return this.found.listOrganizations(limit, afterSlug);
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
    const createdAt = this.clock.now();
    const start = await this.subscriptions.start(request.plan, request.seats ?? 1, createdAt);
    const organization: Organization = {
      kind: 'organization',
      id: uuidv7(),
      slug: request.slug,
      name: request.name,
      plan: request.plan,
      seats: request.seats ?? 1,
      createdAt,
      scheduled: null,
      limits: this.accounts.limitsOfNew(start.plan),
    };
    const result = await this.organizations.create(organization, start, actor);
    if (result === 'created') return { organization, isNew: true };
    const existing = await this.found.findOrganization(request.slug);
    if (existing === null) {
      throw new TollgateError(
        refusal('conflict', `The slug ${request.slug} is taken: choose another.`),
      );
    }
    return { organization: existing, isNew: false };
  }

  /**
   * A change of the plan leaves the limits as they are: they are a decision of their own. An upgrade
   * is in force at once, a downgrade with the next period.
   */
  async update(
    organization: Organization,
    { name, plan, seats }: OrganizationChange,
    actor: Actor,
  ): Promise<Organization> {
    const at = this.clock.now();
    if (plan !== undefined || seats !== undefined) {
      // A part that is left out stays as it will be: a scheduled change is not undone by the other.
      const planned = organization.scheduled ?? organization;
      const request = { plan: plan ?? planned.plan, seats: seats ?? planned.seats };
      await this.subscriptions.change(organization.id, request, actor, at);
    }
    if (name !== undefined) await this.organizations.rename(organization.id, name, actor, at);
    return (await this.found.findOrganization(organization.slug)) ?? organization;
  }
}
