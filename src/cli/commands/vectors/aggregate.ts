/** `aggregate`: one round of a strategy. */
import { createStrategy, STRATEGIES } from '../../../federated/index.ts'
import type { ClientUpdate } from '../../../federated/index.ts'
import { objectOf, objectsOf, realOf, realsOf, shownReal } from './numbers.ts'
import { Refusal, textOf } from './suite.ts'
import type { Suite, VectorCase } from './suite.ts'

export const aggregateSuite: Suite = () => (input) => {
  const name = textOf(input, 'strategy')
  if (!STRATEGIES.includes(name)) throw new Refusal('malformed', `"strategy" is none of ${STRATEGIES.join(', ')}`)
  const strategy = createStrategy(name, input['params'] === undefined ? {} : objectOf(input, 'params'))
  const state = input['state'] === undefined ? {} : objectOf(input, 'state')
  const result = strategy.aggregate({
    global: Float64Array.from(realsOf(input, 'global')),
    state: Object.fromEntries(Object.keys(state).map((key) => [key, Float64Array.from(realsOf(state, key))])),
    clients: objectsOf(input, 'clients').map(clientOf),
  })
  const { selected, buckets, controls } = result
  return {
    global: shown(result.global),
    state: Object.fromEntries(Object.entries(result.state).map(([key, vector]) => [key, shown(vector)])),
    ...(selected === undefined ? {} : { selected }),
    ...(buckets === undefined ? {} : { buckets }),
    ...(controls === undefined ? {} : { controls: controls.map(shown) }),
  }
}

function clientOf(input: VectorCase): ClientUpdate {
  const optional = <T>(field: string, read: (value: VectorCase, field: string) => T): T | undefined =>
    input[field] === undefined ? undefined : read(input, field)
  const [steps, staleness] = [optional('steps', realOf), optional('staleness', realOf)]
  const control = optional('control', realsOf)
  return {
    records: realOf(input, 'records', 0),
    update: Float64Array.from(realsOf(input, 'update')),
    ...(steps === undefined ? {} : { steps }),
    ...(staleness === undefined ? {} : { staleness }),
    ...(control === undefined ? {} : { control: Float64Array.from(control) }),
  }
}

function shown(vector: Float64Array): (number | string)[] {
  return Array.from(vector, shownReal)
}
