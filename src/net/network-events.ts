/** Tells everybody who listens; a listener that throws is logged and does not disturb the others. */
import type { Logger } from '../telemetry/index.ts'
import type { NetworkEvents } from './types.ts'

export interface EventHub {
  on(events: NetworkEvents): () => void
  emit<K extends keyof NetworkEvents>(name: K, ...values: Parameters<NonNullable<NetworkEvents[K]>>): void
}

export function createEventHub(logger: Logger): EventHub {
  const listeners = new Set<NetworkEvents>()
  return {
    on(events) {
      listeners.add(events)
      return () => void listeners.delete(events)
    },
    emit(name, ...values) {
      for (const listener of listeners) {
        try {
          const handler = listener[name] as ((...all: unknown[]) => void) | undefined
          if (handler !== undefined) Reflect.apply(handler, listener, values)
        } catch (error) {
          logger.error({ err: error, event: name }, 'a listener of network events failed')
        }
      }
    },
  }
}
