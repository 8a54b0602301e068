import { Module } from '@nestjs/common';
import { DatabaseModule } from '../database/database.module.js';
import { CreditsRepository } from './credits.repository.js';
import { CreditsService } from './credits.service.js';
import { PlansRepository } from './plans.repository.js';
import { SubscriptionsRepository } from './subscriptions.repository.js';
import { SubscriptionsService } from './subscriptions.service.js';

/** Plans and credit of accounts: below identity, which asks for both when it makes an account. */
@Module({
  imports: [DatabaseModule],
  providers: [
    CreditsRepository,
    CreditsService,
    PlansRepository,
    SubscriptionsRepository,
    SubscriptionsService,
  ],
  exports: [CreditsService, SubscriptionsService],
})
export class PlansModule {}
