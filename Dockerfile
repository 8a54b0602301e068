# Build: everything, then only what runs.
FROM node:24-bookworm-slim AS build
WORKDIR /tollgate
COPY package.json package-lock.json .npmrc ./
COPY scripts ./scripts
COPY prisma ./prisma
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY simulator ./simulator
COPY test ./test
# Without the optional packages: the embedded PostgreSQL (the image has a DATABASE_URL), and the
# Prisma command line, which only builds.
RUN npm run build \
  && rm -rf dist/test \
  && npm prune --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
  && mkdir --mode=0700 /data

FROM node:24-bookworm-slim
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=3000 \
    DATA_DIR=/data \
    SHUTDOWN_DELAY_MS=5000
WORKDIR /tollgate
COPY --from=build /tollgate/package.json ./
COPY --from=build /tollgate/node_modules ./node_modules
COPY --from=build /tollgate/dist ./dist
COPY --from=build /tollgate/prisma ./prisma
COPY --from=build /tollgate/simulator/data ./simulator/data
# The only place that is written to, and only in demo mode: generated secrets.
COPY --from=build --chown=node:node /data /data
VOLUME /data
USER node
EXPOSE 3000
# Alive, not ready: a container that drains must not be restarted.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/livez').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# One process, in exec form: SIGTERM reaches the service itself.
CMD ["node", "dist/src/main.js"]
