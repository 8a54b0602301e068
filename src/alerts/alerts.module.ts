import { Module } from '@nestjs/common';
import { ConfigModule } from '../config/config.module.js';
import { DatabaseModule } from '../database/database.module.js';
import { HttpModule } from '../http/http.module.js';
import { IdentityModule } from '../identity/identity.module.js';
import { MeteringModule } from '../metering/metering.module.js';
import { AlertDeliveriesRepository } from './alert-deliveries.repository.js';
import { AlertDeliveryService } from './alert-delivery.service.js';
import { AlertMetrics } from './alert-metrics.js';
import { AlertSettingsRepository } from './alert-settings.repository.js';
import { AlertSettingsService } from './alert-settings.service.js';
import { AlertsController } from './alerts.controller.js';
import { AlertsRepository } from './alerts.repository.js';
import { AlertsService } from './alerts.service.js';
import { MailClient } from './mail.client.js';
import { WebhookClient } from './webhook.client.js';

/** Who is told, when a budget nears its end. */
@Module({
  imports: [ConfigModule, DatabaseModule, HttpModule, IdentityModule, MeteringModule],
  controllers: [AlertsController],
  providers: [
    AlertDeliveriesRepository,
    AlertDeliveryService,
    AlertMetrics,
    AlertSettingsRepository,
    AlertSettingsService,
    AlertsRepository,
    AlertsService,
    MailClient,
    WebhookClient,
  ],
  exports: [AlertDeliveryService, AlertsService],
})
export class AlertsModule {}
