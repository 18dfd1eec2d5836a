/**
 * Gradients of single examples, clipped one by one and summed up, for a whole batch in one run. The norm of what an example
 * gives to a matrix follows from what goes into its product and from the gradient of what comes out ("ghost norms": Goodfellow,
 * arXiv 1510.01799; of sequences Li et al., arXiv 2110.05679), and the clipped sum is one more product of the two, with
 * each example's share in it (Bu et al., arXiv 2210.00038). Nothing of the size of a matrix is there once an example. A norm is
 * never below that of what is added (exact-norm.ts).
 */
import { inferShapes } from '../../onnx/index.ts'
import type { Model, Node } from '../../onnx/index.ts'
import { differentiate } from '../autodiff/differentiate.ts'
import { lossOf } from '../losses/default.ts'
import { GRADIENT_NORM, next } from '../optimizers/index.ts'
import type { TrainPlan } from '../plan/schema.ts'
import { normOf, squareOfSum, squaresOf, wide } from './exact-norm.ts'
import type { Forward } from './forward.ts'
import { GraphMaker } from './graph-maker.ts'
import { OUTPUT } from './names.ts'
import { sumOf } from './reductions.ts'
import { CLIP, dimsOf, summed, withLoss } from './step.ts'

/** Built here, examples first along every value, and no example sees another. */
const APART: ReadonlySet<string> = new Set(['linear', 'mlp', 'cnn', 'autoencoder', 'decoder'])

/** The one node that reads a parameter. */
interface Place {
  readonly parameter: string
  readonly dims: readonly number[]
  readonly node: Node
  /** Of the node's inputs. */
  readonly index: number
  /** Dimensions of what goes in beside it: of the node's first input, or of the ids of a table. */
  readonly rank: number
}

/** What is known of a parameter's gradient, `g` being that of the node's output, by example. */
interface Term {
  /** float64 [batch]: squares of the gradient of each example, never below those of what `sum` adds. */
  readonly squares: string
  /** The gradients of the examples, each times its share ([batch]), added up. */
  sum(share: string): string
}

/**
 * Batch, parameters, sums in; sums with the clipped gradient of each example, and their norms ([batch]), out. Undefined where a
 * layer has no such form: several readers of a parameter, recurrent cells, models from files, losses over examples together.
 * @throws NoGradientRuleError
 */
export function ghostGraph(plan: TrainPlan, forward: Forward): Model | undefined {
  if (!APART.has(plan.model.kind) || !isMeanOfExamples(plan)) return undefined
  const model = withLoss(plan, forward)
  const places = placesOf(model, forward.parameters)
  if (places === undefined) return undefined
  const between = places.map(({ node }) => node.outputs[0]!)
  const { model: full, gradients } = differentiate(model, { loss: OUTPUT.loss, wrt: [], between })
  const maker = new GraphMaker(full, 'ghost')
  maker.dropOutputs(new Set([OUTPUT.scores, OUTPUT.probability, ...gradients.values()]))
  maker.demote(forward.parameters)
  maker.input(CLIP, 'float32', [])
  // The loss is a mean over the batch, and that of an example alone is not.
  const count = maker.op('Cast', [maker.op('Shape', [between[0]], { start: 0, end: 1 })], { to: 1 })
  const own = new Map([...gradients].map(([name, gradient]) => [name, maker.op('Mul', [gradient, count])]))
  const terms = places.map((place, at) => termOf(maker, place, own.get(between[at]!)!))
  const squares = terms.map((term) => term.squares)
  const norms = normOf(maker, squares)
  maker.output(GRADIENT_NORM, 'float32', ['batch'], norms)
  const share = maker.op('Div', [CLIP, maker.op('Max', [norms, CLIP])])
  for (const [at, { parameter, dims }] of places.entries()) {
    const before = maker.input(summed(parameter), 'float32', dims)
    maker.output(next(summed(parameter)), 'float32', dims, maker.op('Add', [before, terms[at]!.sum(share)]))
  }
  return maker.model()
}

/** Each example counts the same, whatever is beside it. */
function isMeanOfExamples(plan: TrainPlan): boolean {
  const loss = lossOf(plan)
  if (loss.kind === 'cross-entropy') return loss.class_weights === undefined && loss.ignore === undefined
  return loss.kind !== 'cox' && loss.kind !== 'bpr'
}

function placesOf(model: Model, parameters: readonly string[]): readonly Place[] | undefined {
  const { types } = inferShapes(model)
  const places = parameters.map((parameter): Place | undefined => {
    const [node, ...others] = model.graph.nodes.filter(({ inputs }) => inputs.includes(parameter))
    if (node === undefined || others.length > 0) return undefined
    const index = node.inputs.indexOf(parameter)
    const type = types.get(node.inputs[index === 0 ? 1 : 0] ?? '')
    const rank = type?.kind === 'tensor' ? (type.shape?.length ?? 0) : 0
    const place = { parameter, dims: dimsOf(model, parameter), node, index, rank }
    return index === node.inputs.lastIndexOf(parameter) && isKnown(place) ? place : undefined
  })
  return places.some((place) => place === undefined) ? undefined : (places as Place[])
}

function isKnown({ node, index, rank, dims }: Place): boolean {
  const attribute = (name: string): unknown => node.attributes.get(name)
  switch (node.opType) {
    case 'Gemm':
      return (
        rank === 2 && index > 0 && ['transA', 'transB', 'alpha', 'beta'].every((name) => attribute(name) === undefined)
      )
    case 'MatMul':
      return index === 1 && dims.length === 2 && (rank === 2 || rank === 3)
    case 'Conv':
      return index > 0 && attribute('group') === undefined
    case 'Add':
    case 'Mul':
      return index === 1 && dims.length === 1 && rank >= 2
    case 'Gather': {
      const axis = attribute('axis') as { readonly value?: bigint } | undefined
      return index === 0 && (axis?.value ?? 0n) === 0n && dims.length === 2 && (rank === 1 || rank === 2)
    }
    default:
      return false
  }
}

function termOf(maker: GraphMaker, place: Place, g: string): Term {
  const { node, index, rank } = place
  const [x] = node.inputs as [string]
  switch (node.opType) {
    case 'Gemm':
      return index === 2 ? smallTerm(maker, g) : productTerm(maker, x, g)
    case 'MatMul':
      return rank === 2 ? productTerm(maker, x, g) : sequenceTerm(maker, x, g, place.dims)
    case 'Conv':
      return convTerm(maker, place, g)
    case 'Gather':
      return rowsTerm(maker, place, g)
    default: {
      const each = node.opType === 'Add' ? g : maker.op('Mul', [g, x])
      return smallTerm(
        maker,
        rank === 2
          ? each
          : sumOf(
              maker,
              each,
              Array.from({ length: rank - 2 }, (_, at) => at + 1),
            ),
      )
    }
  }
}

/** Each example's times its share, `rank` dimensions in all. */
function shared(maker: GraphMaker, value: string, share: string, rank: number): string {
  const axes = Array.from({ length: rank - 1 }, (_, at) => at + 1)
  return maker.op('Mul', [value, maker.op('Unsqueeze', [share, maker.int64s(axes)])])
}

/** Each example's gradient is there: [batch, n]. */
function smallTerm(maker: GraphMaker, each: string): Term {
  return {
    squares: squaresOf(maker, wide(maker, each), [1]),
    sum: (share) => sumOf(maker, shared(maker, each, share, 2), [0]),
  }
}

/** x [batch, k], g [batch, n]: |x g'| is |x| |g|. */
function productTerm(maker: GraphMaker, x: string, g: string): Term {
  return {
    squares: maker.op('Mul', [squaresOf(maker, wide(maker, x), [1]), squaresOf(maker, wide(maker, g), [1])]),
    sum: (share) => maker.op('Gemm', [x, shared(maker, g, share, 2)], { transA: 1 }),
  }
}

/** x [batch, length, k], g [batch, length, n]: the sum of (x x') times (g g'), place by place. */
function sequenceTerm(maker: GraphMaker, x: string, g: string, [k, n]: readonly number[]): Term {
  const rows = (value: string, width: number): string => maker.op('Reshape', [value, maker.int64s([-1, width])])
  const [wideX, wideG] = [wide(maker, x), wide(maker, g)]
  const lengths = maker.op('Mul', [lengthsOf(maker, wideX), lengthsOf(maker, wideG)])
  return {
    squares: squareOfSum(maker, maker.op('Mul', [alike(maker, wideX), alike(maker, wideG)]), lengths, k! + n!),
    sum: (share) => maker.op('Gemm', [rows(x, k!), rows(shared(maker, g, share, 3), n!)], { transA: 1 }),
  }
}

/** [batch, length, n] -> [batch, length] */
function lengthsOf(maker: GraphMaker, value: string): string {
  return maker.op('Sqrt', [squaresOf(maker, value, [2])])
}

/** [batch, length, n] -> [batch, length, length] */
function alike(maker: GraphMaker, value: string): string {
  return maker.op('MatMul', [value, maker.op('Transpose', [value], { perm: [0, 2, 1] })])
}

/** Kernels are small: each example's gradient is a product of its windows, and is kept for the sum. */
function convTerm(maker: GraphMaker, { node, index, dims }: Place, g: string): Term {
  const flat = maker.op('Reshape', [g, maker.int64s([0, 0, -1])])
  if (index === 2) return smallTerm(maker, sumOf(maker, flat, [2]))
  const [, channels, ...kernel] = dims as [number, number, ...number[]]
  const taps = kernel.reduce((product, size) => product * size, 1)
  const windows = maker.op('Conv', [node.inputs[0], tapsOf(maker, channels, kernel, taps)], {
    ...Object.fromEntries(node.attributes),
    group: channels,
  })
  const columns = maker.op('Reshape', [windows, maker.int64s([0, channels * taps, -1])])
  const each = maker.op('MatMul', [flat, maker.op('Transpose', [columns], { perm: [0, 2, 1] })])
  return {
    squares: squaresOf(maker, wide(maker, each), [1, 2]),
    sum: (share) => maker.op('Reshape', [sumOf(maker, shared(maker, each, share, 3), [0]), maker.int64s(dims)]),
  }
}

/** A kernel for each channel and tap, 1 there: what a convolution by it gives is what each window covers. */
function tapsOf(maker: GraphMaker, channels: number, kernel: readonly number[], taps: number): string {
  const values = Array.from({ length: channels * taps * taps }, (_, at) =>
    Math.floor(at / taps) % taps === at % taps ? 1 : 0,
  )
  return maker.constant('float32', [channels * taps, 1, ...kernel], values)
}

/** Rows of a table by their ids: two places of an example add up where they name the same row. */
function rowsTerm(maker: GraphMaker, { node, dims, rank }: Place, g: string): Term {
  const [, width] = dims as [number, number]
  const ids = node.inputs[1]!
  const isSequence = rank === 2
  const wideG = wide(maker, g)
  const ofSequence = (): string => {
    const [down, across] = [2, 1].map((axis) => maker.op('Unsqueeze', [ids, maker.int64s([axis])]))
    const same = wide(maker, maker.op('Equal', [down, across]))
    return squareOfSum(maker, maker.op('Mul', [same, alike(maker, wideG)]), lengthsOf(maker, wideG), width)
  }
  return {
    squares: isSequence ? ofSequence() : squaresOf(maker, wideG, [1]),
    sum: (share) => {
      const scaled = shared(maker, g, share, isSequence ? 3 : 2)
      const updates = maker.op('Reshape', [scaled, maker.int64s([-1, width])])
      const column = maker.op('Reshape', [ids, maker.int64s([-1, 1])])
      const places = maker.op('Expand', [column, maker.op('Shape', [updates])])
      const zeros = maker.op('ConstantOfShape', [maker.int64s(dims)])
      return maker.op('ScatterElements', [zeros, places, updates], { axis: 0, reduction: 'add' })
    },
  }
}
