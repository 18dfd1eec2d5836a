/** Rounds as adapters of this home: asked for like any other, fetched by other peers' stages by their content. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { baseOf, isAnalysis, isLanguage } from '../../federated/index.ts'
import { addAdapter, removeAdapter } from '../adapters.ts'
import { RolloutStateError } from './errors.ts'
import type { Outlet } from './rollouts.ts'

export interface OutletNeeds {
  readonly home: string
  /** Name of the model with this digest here. */
  readonly nameOf: (digest: string) => string | undefined
}

export function adapterOutlet({ home, nameOf }: OutletNeeds): Outlet {
  return {
    modelOf(plan) {
      if (isAnalysis(plan) || !isLanguage(plan)) {
        return Promise.reject(new RolloutStateError(plan.name, 'its model is no adapter of a language model'))
      }
      const { name, digest } = baseOf(plan)
      return Promise.resolve(nameOf(digest) ?? name)
    },
    async put(model, name, { trainer, weights }) {
      const folder = await mkdtemp(join(tmpdir(), 'weft-rollout-'))
      try {
        await trainer.write(weights, folder)
        await addAdapter(home, model, folder, name)
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    },
    async remove(model, name) {
      await removeAdapter(home, model, name).catch(() => undefined)
    },
  }
}
