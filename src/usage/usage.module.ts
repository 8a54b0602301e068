import { Module } from '@nestjs/common';
import { DatabaseModule } from '../database/database.module.js';
import { HttpModule } from '../http/http.module.js';
import { IdentityModule } from '../identity/identity.module.js';
import { RequestsController } from './requests.controller.js';
import { RequestsRepository } from './requests.repository.js';
import { RequestsService } from './requests.service.js';
import { UsageAggregates } from './usage-query.js';
import { UsageController } from './usage.controller.js';
import { UsageRepository } from './usage.repository.js';
import { UsageService } from './usage.service.js';

/** What was used, by whom, at what cost: read-only. */
@Module({
  imports: [DatabaseModule, HttpModule, IdentityModule],
  controllers: [UsageController, RequestsController],
  providers: [
    RequestsRepository,
    RequestsService,
    UsageService,
    { provide: UsageAggregates, useClass: UsageRepository },
  ],
  exports: [RequestsService, UsageService],
})
export class UsageModule {}
