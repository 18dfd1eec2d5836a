/**
 * Loaded before the simulator: gives the product's modules a disk in memory, so that a thousand homes are cheap and no
 * thread of the system decides what comes first. Nothing of the product is changed by it.
 */
import { registerHooks } from 'node:module'

const PRODUCT = new URL('../../src/', import.meta.url).href
const IN_MEMORY = new Map([
  ['node:fs/promises', new URL('disk/promises.ts', import.meta.url).href],
  ['node:fs', new URL('disk/sync.ts', import.meta.url).href],
])

/** Who takes in records and keeps them, and what with (shared-records.ts). */
const KEEPERS = ['intake', 'record-book', 'gossip', 'stored-record'].map((name) => `${PRODUCT}mesh/${name}.ts`)
const KEPT_WITH = ['./records.ts', './bodies.ts', './stored-record.ts']
const SHARED = new URL('shared-records.ts', import.meta.url).href
/** Who signs, and what with (signatures.ts). */
const IDENTITY = `${PRODUCT}trust/identity.ts`
const SIGNATURES = new URL('signatures.ts', import.meta.url).href

registerHooks({
  resolve(specifier, context, next) {
    if (KEEPERS.includes(context.parentURL ?? '') && KEPT_WITH.includes(specifier))
      return { url: SHARED, shortCircuit: true, format: 'module-typescript' }
    if (context.parentURL === IDENTITY && specifier === 'node:crypto')
      return { url: SIGNATURES, shortCircuit: true, format: 'module-typescript' }
    const url = context.parentURL?.startsWith(PRODUCT) === true ? IN_MEMORY.get(specifier) : undefined
    return url === undefined ? next(specifier, context) : { url, shortCircuit: true, format: 'module-typescript' }
  },
})
