import { Module } from '@nestjs/common';
import { ConfigModule } from '../config/config.module.js';
import { DatabaseModule } from '../database/database.module.js';
import { HttpModule } from '../http/http.module.js';
import { IdentityModule } from '../identity/identity.module.js';
import { HealthController } from './health.controller.js';
import { MetricsPortService } from './metrics-port.service.js';
import { MetricsController } from './metrics.controller.js';
import { ReadinessService } from './readiness.service.js';
import { StoreProbe } from './store-probe.repository.js';

/** What operators and their tools ask of a running service. */
@Module({
  imports: [ConfigModule, DatabaseModule, HttpModule, IdentityModule],
  controllers: [HealthController, MetricsController],
  providers: [MetricsPortService, ReadinessService, StoreProbe],
  exports: [ReadinessService],
})
export class OperationModule {}
