/** If with a branch that is known, and loops of a known number of turns, written out in the graph around them. */
import { definedValues, renameValues } from '../../../onnx/index.ts'
import type { GraphForm } from '../../../onnx/index.ts'
import { NotDifferentiableModelError } from '../errors.ts'
import type { Rewrite, RewriteSite } from '../rewrite.ts'

/** So many nodes take seconds to load, and more are no help to anybody. */
const MOST_NODES = 200_000

function graphOf(site: RewriteSite, name: string): GraphForm {
  const attribute = site.attribute(name)
  return attribute?.kind === 'graph' ? attribute.value : site.refuse(`it has no graph "${name}"`)
}

/** Adds the nodes of a subgraph once, and gives the names that its outputs have here. */
function writeOut(site: RewriteSite, body: GraphForm, inputs: readonly string[]): readonly string[] {
  if (body.sparseInitializers.size > 0) site.refuse('its subgraph has sparse constants')
  if (site.builder.nodes.length + body.nodes.length > MOST_NODES) {
    throw new NotDifferentiableModelError(`written out, its loops have more than ${MOST_NODES} nodes`)
  }
  const names = new Map<string, string>()
  for (const [index, { name }] of body.inputs.entries()) names.set(name, inputs[index]!)
  for (const name of definedValues(body)) if (!names.has(name)) names.set(name, site.builder.fresh(name))
  const renamed = renameValues(body, names)
  for (const [name, tensor] of renamed.initializers) site.builder.initializers.set(name, tensor)
  for (const node of renamed.nodes) {
    site.builder.nodes.push(node.name === '' ? node : { ...node, name: site.builder.fresh(node.name) })
  }
  return renamed.outputs.map(({ name }) => name)
}

const branch: Rewrite = (site) => {
  const condition = site.numbers(0)
  if (condition === undefined) throw site.refusal('which of its branches is taken is known only when it runs')
  const taken = writeOut(site, graphOf(site, condition[0] === 0 ? 'else_branch' : 'then_branch'), [])
  for (const [index, name] of taken.entries()) site.returns(index, name)
}

/** What each turn collects, along a dimension of its own. */
function collected(site: RewriteSite, turns: readonly string[], axis: number): string {
  if (turns.length === 0) throw site.refusal('it has no turns, and collects')
  return site.concat(
    turns.map((turn) => site.unsqueeze(turn, [axis])),
    axis,
  )
}

const loop: Rewrite = (site) => {
  const body = graphOf(site, 'body')
  const count = site.numbers(0)?.[0]
  if (count === undefined) throw site.refusal('how often it turns is known only when it runs')
  if (site.given(1) && site.numbers(1)?.[0] !== 1) throw site.refusal('it may end before its last turn')
  if (!keepsGoing(site, body)) throw site.refusal('it may end before its last turn')
  const carried = body.inputs.length - 2
  let values: readonly string[] = site.node.inputs.slice(2)
  const turns: (readonly string[])[] = []
  for (let turn = 0; turn < count; turn++) {
    const outputs = writeOut(site, body, [site.builder.int64(turn), site.builder.scalar('bool', 1), ...values])
    values = outputs.slice(1, 1 + carried)
    turns.push(outputs.slice(1 + carried))
  }
  for (const [index, name] of values.entries()) site.returns(index, name)
  for (let index = carried; index < site.node.outputs.length; index++) {
    if (site.output(index) !== '')
      site.returns(
        index,
        collected(
          site,
          turns.map((turn) => turn[index - carried]!),
          0,
        ),
      )
  }
}

/** Whether its condition is the one that it got, or a constant. */
function keepsGoing(site: RewriteSite, body: GraphForm): boolean {
  let name = body.outputs[0]?.name
  for (;;) {
    if (name === body.inputs[1]?.name) return true
    const constant = name === undefined ? undefined : body.initializers.get(name)
    if (constant?.data.kind === 'bytes') return constant.data.bytes[0] === 1
    const around = name === undefined ? undefined : site.facts.known.get(name)
    if (around !== undefined) return around.elements[0] === 1
    const maker = body.nodes.find(({ outputs }) => outputs[0] === name)
    if (maker?.opType === 'Constant') {
      const value = maker.attributes.get('value')
      return value?.kind === 'tensor' && value.value.data.kind === 'bytes' && value.value.data.bytes[0] === 1
    }
    if (maker === undefined || (maker.opType !== 'Identity' && maker.opType !== 'Cast')) return false
    name = maker.inputs[0]
  }
}

const scan: Rewrite = (site) => {
  const body = graphOf(site, 'body')
  const scanned = site.int('num_scan_inputs', 0)
  const carried = body.inputs.length - scanned
  const inputs = site.node.inputs.slice(carried)
  const at = (list: readonly number[] | undefined, index: number): number => list?.[index] ?? 0
  const [axes, directions] = [site.ints('scan_input_axes'), site.ints('scan_input_directions')]
  const length = site.shape(inputs[0] ?? '')?.at(at(axes, 0))
  if (typeof length !== 'number') throw site.refusal('how often it turns is known only when it runs')
  let values: readonly string[] = site.node.inputs.slice(0, carried)
  const turns: (readonly string[])[] = []
  for (let turn = 0; turn < length; turn++) {
    const slices = inputs.map((name, index) => {
      const place = at(directions, index) === 1 ? length - 1 - turn : turn
      return site.op('Gather', [name, site.builder.int64(place)], { axis: at(axes, index) })
    })
    const outputs = writeOut(site, body, [...values, ...slices])
    values = outputs.slice(0, carried)
    turns.push(outputs.slice(carried))
  }
  for (const [index, name] of values.entries()) site.returns(index, name)
  const [outAxes, outDirections] = [site.ints('scan_output_axes'), site.ints('scan_output_directions')]
  for (let index = carried; index < site.node.outputs.length; index++) {
    if (site.output(index) === '') continue
    const parts = turns.map((turn) => turn[index - carried]!)
    const ordered = at(outDirections, index - carried) === 1 ? parts.toReversed() : parts
    site.returns(index, collected(site, ordered, at(outAxes, index - carried)))
  }
}

export const CONTROL_REWRITES: Readonly<Record<string, Rewrite>> = { If: branch, Loop: loop, Scan: scan }
