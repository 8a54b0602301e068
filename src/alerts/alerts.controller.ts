import { Body, Get, Put, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { PageQuery, pageOf, readCursor, type Page } from '../http/pagination.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from '../identity/account-access.js';
import { AccountController, PathAccount, type AccountRef } from '../identity/account-path.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { AlertSettingsService } from './alert-settings.service.js';
import {
  AlertsPage,
  SetAlerts,
  settingsChangeOf,
  viewOfAlert,
  viewOfSettings,
} from './alerts.dto.js';
import { AlertsService } from './alerts.service.js';

const PAGE_AFTER_CHANGE = 50;

@DocumentedApi('alerts')
@UseGuards(CallerGuard)
@AccountController('alerts')
export class AlertsController {
  constructor(
    private readonly access: AccountAccess,
    private readonly settings: AlertSettingsService,
    private readonly alerts: AlertsService,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'Alerts and their settings',
    description:
      'Raised once per limit, period and threshold, newest first, with how each was delivered. Scope billing.read or limits.write.',
  })
  @ApiOkResponse({ type: AlertsPage })
  async list(
    @PathAccount() path: AccountRef,
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<AlertsPage>> {
    const { id } = await this.access.require(caller, path, ['billing.read', 'limits.write']);
    const settings = viewOfSettings(await this.settings.find(id), null);
    return { settings, ...(await this.page(id, limit, cursor)) };
  }

  @Put()
  @ApiOperation({
    summary: 'Choose thresholds, webhook and e-mail addresses',
    description:
      'Scope limits.write. What is left out stays as it is. `webhookSecret` is in the answer that made it and nowhere else.',
  })
  @ApiOkResponse({ type: AlertsPage })
  async set(
    @PathAccount() path: AccountRef,
    @Body() body: SetAlerts,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<AlertsPage>> {
    const account = await this.access.require(caller, path, 'limits.write');
    const change = settingsChangeOf(body);
    const { settings, newSecret } = await this.settings.change(account, change, actor);
    const page = await this.page(account.id, PAGE_AFTER_CHANGE, undefined);
    return { settings: viewOfSettings(settings, newSecret), ...page };
  }

  private async page(
    accountId: string,
    limit: number,
    cursor: string | undefined,
  ): Promise<Page<Plain<AlertsPage>['data'][number]>> {
    const [beforeId] = readCursor(cursor, ['uuid']) ?? [null];
    const rows = await this.alerts.list(accountId, limit + 1, beforeId);
    return pageOf(rows, limit, ({ alert }) => [alert.id], viewOfAlert);
  }
}
