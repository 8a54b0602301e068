import { Module } from '@nestjs/common';
import { CatalogModule } from '../catalog/catalog.module.js';
import { ConfigModule } from '../config/config.module.js';
import { DatabaseModule } from '../database/database.module.js';
import { HttpModule } from '../http/http.module.js';
import { IdentityModule } from '../identity/identity.module.js';
import { MeteringModule } from '../metering/metering.module.js';
import { UsageModule } from '../usage/usage.module.js';
import { AccountInvoicesController } from './account-invoices.controller.js';
import { AccountLedgerController } from './account-ledger.controller.js';
import { BalanceController } from './balance.controller.js';
import { BalanceRepository } from './balance.repository.js';
import { BalanceService } from './balance.service.js';
import { BillingDetailsController } from './billing-details.controller.js';
import { BillingDetailsRepository } from './billing-details.repository.js';
import { BillingDetailsService } from './billing-details.service.js';
import { ControlsController } from './controls.controller.js';
import { CorrectionsController } from './corrections.controller.js';
import { CorrectionsRepository } from './corrections.repository.js';
import { CorrectionsService } from './corrections.service.js';
import { CreditNotesController } from './credit-notes.controller.js';
import { CreditNotesRepository } from './credit-notes.repository.js';
import { CreditNotesService } from './credit-notes.service.js';
import { CreditsController } from './credits.controller.js';
import { DailyControlRepository } from './daily-control.repository.js';
import { DailyControlService } from './daily-control.service.js';
import { DecisionsController } from './decisions.controller.js';
import { DecisionsRepository } from './decisions.repository.js';
import { DecisionsService } from './decisions.service.js';
import { GrantsService } from './grants.service.js';
import { InvoiceAccess } from './invoice-access.js';
import { InvoiceLinesController } from './invoice-lines.controller.js';
import { InvoiceLinesService } from './invoice-lines.service.js';
import { InvoiceRequestsRepository } from './invoice-requests.repository.js';
import { InvoicesController } from './invoices.controller.js';
import { InvoicesRepository } from './invoices.repository.js';
import { InvoicesService } from './invoices.service.js';
import { LedgerCheckpointsRepository } from './ledger-checkpoints.repository.js';
import { LedgerController } from './ledger.controller.js';
import { LedgerRepository } from './ledger.repository.js';
import { LedgerService } from './ledger.service.js';
import { PeriodCloseRepository } from './period-close.repository.js';
import { PeriodCloseService } from './period-close.service.js';
import { PeriodsController } from './periods.controller.js';
import { PeriodsRepository } from './periods.repository.js';
import { PeriodsService } from './periods.service.js';
import { PlansController } from './plans.controller.js';
import { PlansModule } from './plans.module.js';
import { ProviderPaymentsController } from './provider-payments.controller.js';
import { ProviderPaymentsRepository } from './provider-payments.repository.js';
import { ProviderPaymentsService } from './provider-payments.service.js';
import { SubscriptionController } from './subscription.controller.js';

/** What accounts are given, owe and are invoiced, and the books of it. */
@Module({
  imports: [
    CatalogModule,
    ConfigModule,
    DatabaseModule,
    HttpModule,
    IdentityModule,
    MeteringModule,
    PlansModule,
    UsageModule,
  ],
  controllers: [
    AccountInvoicesController,
    AccountLedgerController,
    BalanceController,
    BillingDetailsController,
    ControlsController,
    CorrectionsController,
    CreditNotesController,
    CreditsController,
    DecisionsController,
    InvoiceLinesController,
    InvoicesController,
    LedgerController,
    PeriodsController,
    PlansController,
    ProviderPaymentsController,
    SubscriptionController,
  ],
  providers: [
    BalanceRepository,
    BalanceService,
    BillingDetailsRepository,
    BillingDetailsService,
    CorrectionsRepository,
    CorrectionsService,
    CreditNotesRepository,
    CreditNotesService,
    DailyControlRepository,
    DailyControlService,
    DecisionsRepository,
    DecisionsService,
    GrantsService,
    InvoiceAccess,
    InvoiceLinesService,
    InvoiceRequestsRepository,
    InvoicesRepository,
    InvoicesService,
    LedgerCheckpointsRepository,
    LedgerRepository,
    LedgerService,
    PeriodCloseRepository,
    PeriodCloseService,
    PeriodsRepository,
    PeriodsService,
    ProviderPaymentsRepository,
    ProviderPaymentsService,
  ],
  exports: [
    BalanceService,
    CorrectionsService,
    CreditNotesService,
    DailyControlService,
    InvoicesService,
    PeriodCloseService,
  ],
})
export class BillingModule {}
