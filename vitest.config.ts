import { defineConfig } from 'vitest/config'
import { COMPILED } from './test/compiled.ts'
import { LONG_SUITES, WHOLE_SUITES } from './test/long-suites.ts'
import { isLong, isWhole } from './test/whole.ts'

/** Suites that leave nothing behind in their process: their files share it, which saves each its start and its imports. */
const TOGETHER =
  'api cli compress data durability federated house library mesh models net onnx peer pipeline placement store telemetry training trust util'
    .split(' ')
    .map((room) => `test/${room}/**/*.test.ts`)

const left = [...(isLong ? [] : LONG_SUITES), ...(isWhole ? [] : WHOLE_SUITES)].map((name) => `test/${name}.test.ts`)

/** Only to fail: files share the processors with another one, and many of them have processes of their own. */
const limits = { testTimeout: 120_000, hookTimeout: 120_000 }

process.env['NODE_COMPILE_CACHE'] ??= COMPILED

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    // Node reads the sources as it does for users, types stripped: by Vite, 25 files of small tests took 39 s of a core, and 27 so.
    experimental: { viteModuleRunner: false, nodeLoader: false },
    projects: [
      { test: { ...limits, name: 'together', include: TOGETHER, exclude: left, isolate: false } },
      { test: { ...limits, name: 'apart', include: ['test/**/*.test.ts'], exclude: [...TOGETHER, ...left] } },
    ],
  },
})
