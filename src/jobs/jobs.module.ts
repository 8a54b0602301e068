import { Module } from '@nestjs/common';
import { AlertsModule } from '../alerts/alerts.module.js';
import { BillingModule } from '../billing/billing.module.js';
import { PlansModule } from '../billing/plans.module.js';
import { ConfigModule } from '../config/config.module.js';
import { DatabaseModule } from '../database/database.module.js';
import { HttpModule } from '../http/http.module.js';
import { IdentityModule } from '../identity/identity.module.js';
import { JobRunsModule } from './job-runs.module.js';
import { JobsController } from './jobs.controller.js';
import { JobsService } from './jobs.service.js';

/** What runs by itself. It may import every module; none imports it (runs are `JobRunsModule`). */
@Module({
  imports: [
    ConfigModule,
    DatabaseModule,
    HttpModule,
    IdentityModule,
    JobRunsModule,
    AlertsModule,
    BillingModule,
    PlansModule,
  ],
  controllers: [JobsController],
  providers: [JobsService],
})
export class JobsModule {}
