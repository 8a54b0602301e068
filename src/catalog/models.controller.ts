import { Controller, Get, Header, Headers, Ip, Param } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { IncomingHttpHeaders } from 'node:http';
import { refusal, TollgateError } from '../domain/errors.js';
import { ModelsAudienceService } from './models-audience.service.js';
import { ModelsService, type ModelView } from './models.service.js';

const AUDIENCE =
  'No token is needed; with one, only the providers that its organization allows are shown.';

/** The public catalogue in the router's own shape. */
@ApiTags('models')
@Controller('v1/models')
export class ModelsController {
  constructor(
    private readonly models: ModelsService,
    private readonly audience: ModelsAudienceService,
  ) {}

  @Get()
  @Header('content-type', 'application/json; charset=utf-8')
  @ApiOperation({ summary: 'The models', description: AUDIENCE })
  @ApiOkResponse({ description: 'Every model with its providers and what they cost, USD per 1M.' })
  async list(@Headers() headers: IncomingHttpHeaders, @Ip() address: string): Promise<Buffer> {
    return this.models.listJson(await this.audience.disabledFor(headers, address));
  }

  /** `org/name` as it is, with its slash encoded, or without it. */
  @Get('*')
  @ApiOperation({ summary: 'One model', description: AUDIENCE })
  @ApiOkResponse({ description: 'One model.' })
  async find(
    @Param('*') id: string,
    @Headers() headers: IncomingHttpHeaders,
    @Ip() address: string,
  ): Promise<ModelView> {
    const found = this.models.find(id, await this.audience.disabledFor(headers, address));
    if (found.kind === 'found') return found.model;
    throw new TollgateError(
      refusal('not_found', `The model ${JSON.stringify(id)} does not exist.`, {
        param: 'model',
        details: { closest: found.closest },
      }),
    );
  }
}
