import { Module } from '@nestjs/common';
import { ConfigModule } from '../config/config.module.js';
import { DatabaseModule } from '../database/database.module.js';
import { HttpModule } from '../http/http.module.js';
import { IdentityModule } from '../identity/identity.module.js';
import { JobRunsModule } from '../jobs/job-runs.module.js';
import { MeteringModule } from '../metering/metering.module.js';
import { AccountProvidersController } from './account-providers.controller.js';
import { AccountProvidersRepository } from './account-providers.repository.js';
import { AccountProvidersService } from './account-providers.service.js';
import { Catalog } from './catalog.js';
import { CatalogRepository } from './catalog.repository.js';
import { CatalogService } from './catalog.service.js';
import { CatalogueClient } from './catalogue.client.js';
import { CatalogueTakeoverService } from './catalogue-takeover.service.js';
import { Health, UpstreamProbe } from './health.js';
import { HealthMetrics } from './health-metrics.js';
import { HealthService } from './health.service.js';
import { Hub } from './hub.js';
import { HubClient } from './hub.client.js';
import { HubModelIdsRepository } from './hub-model-ids.repository.js';
import { HubModelIdsService } from './hub-model-ids.service.js';
import { ModelsAudienceService } from './models-audience.service.js';
import { ModelsController } from './models.controller.js';
import { ModelsService } from './models.service.js';
import { PriceBookRepository } from './price-book.repository.js';
import { PriceSyncService } from './price-sync.service.js';
import { PricesController } from './prices.controller.js';
import { PricesRepository } from './prices.repository.js';
import { PricesService } from './prices.service.js';
import { ProvidersController } from './providers.controller.js';
import { ProvidersRepository } from './providers.repository.js';
import { ProvidersService } from './providers.service.js';
import { UnpricedEventsRepository } from './unpriced-events.repository.js';
import { UnpricedEventsService } from './unpriced-events.service.js';
import { UpstreamDirectoryService } from './upstream-directory.service.js';
import { UpstreamProbeClient } from './upstream-probe.client.js';

/** Models, providers, the price book, and where a request may go. */
@Module({
  imports: [
    ConfigModule,
    DatabaseModule,
    HttpModule,
    IdentityModule,
    JobRunsModule,
    MeteringModule,
  ],
  controllers: [
    ModelsController,
    PricesController,
    ProvidersController,
    AccountProvidersController,
  ],
  providers: [
    CatalogRepository,
    CatalogService,
    { provide: Catalog, useExisting: CatalogService },
    HealthService,
    { provide: Health, useExisting: HealthService },
    HealthMetrics,
    { provide: UpstreamProbe, useClass: UpstreamProbeClient },
    PriceBookRepository,
    PricesRepository,
    PricesService,
    PriceSyncService,
    CatalogueClient,
    CatalogueTakeoverService,
    { provide: Hub, useClass: HubClient },
    HubModelIdsRepository,
    HubModelIdsService,
    UnpricedEventsRepository,
    UnpricedEventsService,
    ModelsService,
    ModelsAudienceService,
    ProvidersRepository,
    ProvidersService,
    AccountProvidersRepository,
    AccountProvidersService,
    UpstreamDirectoryService,
  ],
  exports: [
    Catalog,
    CatalogService,
    Health,
    PriceSyncService,
    PricesService,
    UnpricedEventsService,
    UpstreamDirectoryService,
  ],
})
export class CatalogModule {}
