import { defineConfig } from 'vitest/config'

/** Suites that start few processes and keep no state in this one: their files share it, which saves each its start. */
const TOGETHER = ['data', 'models', 'onnx', 'placement', 'store', 'telemetry', 'trust', 'util'].map(
  (room) => `test/${room}/**/*.test.ts`,
)

const limits = { testTimeout: 60_000, hookTimeout: 60_000 }

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      { test: { ...limits, name: 'together', include: TOGETHER, isolate: false } },
      { test: { ...limits, name: 'apart', include: ['test/**/*.test.ts'], exclude: TOGETHER } },
    ],
  },
})
