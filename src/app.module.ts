import { Module } from '@nestjs/common';
import { AlertsModule } from './alerts/alerts.module.js';
import { BillingModule } from './billing/billing.module.js';
import { CatalogModule } from './catalog/catalog.module.js';
import { ConfigModule } from './config/config.module.js';
import { DatabaseModule } from './database/database.module.js';
import { HttpModule } from './http/http.module.js';
import { IdentityModule } from './identity/identity.module.js';
import { JobsModule } from './jobs/jobs.module.js';
import { MeteringModule } from './metering/metering.module.js';
import { OperationModule } from './operation/operation.module.js';
import { ProxyModule } from './proxy/proxy.module.js';
import { UsageModule } from './usage/usage.module.js';

/** The table of contents. */
@Module({
  imports: [
    ConfigModule,
    DatabaseModule,
    HttpModule,
    IdentityModule,
    CatalogModule,
    MeteringModule,
    ProxyModule,
    UsageModule,
    BillingModule,
    AlertsModule,
    JobsModule,
    OperationModule,
  ],
})
export class AppModule {}
