/** Convolutions, pools and what undoes them. Layout: batch, channels, then spatial axes; Nhwc: channels last. */
import type { DataType, Dimension } from '../../ir/index.ts'
import { tensor, unknownDimensions } from '../call.ts'
import type { Call, Rule } from '../call.ts'
import { MICROSOFT } from '../registry.ts'
import type { Family } from '../registry.ts'
import { reachOf, windowOf, windowed } from './window.ts'

function convolution(weight: number, type: (call: Call) => DataType | undefined, channelsLast = false): Rule {
  return (call) => {
    const [data, kernel] = [call.shape(0), call.shape(weight)]
    const rank = data?.length ?? kernel?.length
    if (data === null || kernel === null || rank === undefined || rank < 3 || kernel.length !== rank)
      return [tensor(type(call), rank === undefined ? null : unknownDimensions(rank))]
    const last = channelsLast || call.int('channels_last', 0) === 1
    const spatial = last ? data.slice(1, -1) : data.slice(2)
    const named = call.ints('kernel_shape') ?? kernel.slice(2)
    const window = windowOf(call, named, spatial.length)
    const sizes = window === undefined ? spatial.map(() => null) : windowed(call, spatial, window)
    const out = kernel[0]!
    return [tensor(type(call), last ? [data[0]!, ...sizes, out] : [data[0]!, out, ...sizes])]
  }
}

const transposed: Rule = (call) => {
  const [data, kernel] = [call.shape(0), call.shape(1)]
  const rank = data?.length ?? kernel?.length
  if (data === null || kernel === null || rank === undefined || rank < 3 || kernel.length !== rank)
    return [tensor(call.type(0), rank === undefined ? null : unknownDimensions(rank))]
  const channels = call.algebra.multiply(kernel[1]!, call.int('group', 1))
  return [tensor(call.type(0), [data[0]!, channels, ...grown(call, data.slice(2), kernel.slice(2))])]
}

function grown(call: Call, spatial: readonly Dimension[], kernel: readonly Dimension[]): readonly Dimension[] {
  const { algebra } = call
  const target = call.ints('output_shape')
  if (target !== undefined) {
    if (target.length === spatial.length) return target
    return target.length === spatial.length + 2 ? target.slice(2) : spatial.map(() => null)
  }
  const window = windowOf(call, call.ints('kernel_shape') ?? kernel, spatial.length)
  const extra = call.ints('output_padding') ?? spatial.map(() => 0)
  if (window === undefined || extra.length !== spatial.length) return spatial.map(() => null)
  const mode = call.text('auto_pad', 'NOTSET')
  return spatial.map((size, axis) => {
    const stride = window.strides[axis]!
    if (mode === 'SAME_UPPER' || mode === 'SAME_LOWER') return algebra.multiply(size, stride)
    const pads = mode === 'VALID' ? 0 : window.pads[axis]! + window.pads[axis + spatial.length]!
    const steps = algebra.multiply(algebra.subtract(size, 1), stride)
    return algebra.sum([steps, extra[axis]!, reachOf(call, window, axis), -pads])
  })
}

/** Pools keep the channels; MaxPool also tells where its values stood. */
const pool: Rule = (call) => {
  const data = call.shape(0)
  const kernel = call.ints('kernel_shape')
  if (data === null || kernel === undefined) {
    const rank = data?.length ?? (kernel === undefined ? undefined : kernel.length + 2)
    const shape = rank === undefined ? null : unknownDimensions(rank)
    return [tensor(call.type(0), shape), tensor('int64', shape)]
  }
  const last = call.int('channels_last', 0) === 1
  const spatial = last ? data.slice(1, -1) : data.slice(2)
  const window = windowOf(call, kernel, spatial.length)
  const sizes = window === undefined ? spatial.map(() => null) : windowed(call, spatial, window)
  const shape = last ? [data[0] ?? null, ...sizes, data.at(-1)!] : [data[0] ?? null, data[1] ?? null, ...sizes]
  return [tensor(call.type(0), shape), tensor('int64', shape)]
}

const unpool: Rule = (call) => {
  const data = call.shape(0)
  if (call.given(2)) {
    const target = call.known(2)?.elements
    return [tensor(call.type(0), target ?? (data === null ? null : unknownDimensions(data.length)))]
  }
  const kernel = call.ints('kernel_shape')
  const window = data === null || kernel === undefined ? undefined : windowOf(call, kernel, data.length - 2)
  if (data === null || window === undefined) return [tensor(call.type(0), data && unknownDimensions(data.length))]
  const { algebra } = call
  const sizes = data.slice(2).map((size, axis) => {
    const pads = window.pads[axis]! + window.pads[axis + data.length - 2]!
    const steps = algebra.multiply(algebra.subtract(size, 1), window.strides[axis]!)
    return algebra.sum([steps, window.kernel[axis]!, -pads])
  })
  return [tensor(call.type(0), [data[0]!, data[1]!, ...sizes])]
}

const regionsByAttribute: Rule = (call) => {
  const pooled = call.ints('pooled_shape') ?? [null, null]
  return [tensor(call.type(0), [call.dimension(1, 0), call.dimension(0, 1), pooled[0] ?? null, pooled[1] ?? null])]
}

const regionsAligned: Rule = (call) => {
  const sizes = [call.int('output_height', 1), call.int('output_width', 1)]
  return [tensor(call.type(0), [call.dimension(1, 0), call.dimension(0, 1), ...sizes])]
}

/** Columns back to an image: the channels hold a block each. */
const columnsToImage: Rule = (call) => {
  const image = call.known(1)?.elements
  const block = call.known(2)?.elements
  const data = call.shapeOfRank(0, 3)
  const axes = image?.length ?? call.shapeOfRank(1, 1)?.[0]
  if (data === null || typeof axes !== 'number') return [tensor(call.type(0), null)]
  const channels = call.algebra.floorDivide(data[1]!, call.algebra.product(block ?? [null]))
  return [tensor(call.type(0), [data[0]!, channels, ...(image ?? unknownDimensions(axes) ?? [])])]
}

/** Output [N, C, ...grid]: the grid says where each of its points lies in the image. */
const gridSample: Rule = (call) => {
  const [data, grid] = [call.shape(0), call.shape(1)]
  if (data === null && grid === null) return [tensor(call.type(0), null)]
  const spatial = grid?.slice(1, -1) ?? data!.slice(2).map(() => null)
  return [tensor(call.type(0), [data?.[0] ?? grid?.[0] ?? null, data?.[1] ?? null, ...spatial])]
}

const affineGrid: Rule = (call) => {
  const size = call.known(1)?.elements
  const count = size?.length ?? call.shapeOfRank(1, 1)?.[0]
  if (typeof count !== 'number' || count < 4) return [tensor(call.type(0), null)]
  const known = size ?? Array.from({ length: count }, () => null)
  return [tensor(call.type(0), [known[0]!, ...known.slice(2), count - 2])]
}

const causalConvolution: Rule = (call) => {
  const data = call.shape(0)
  const state = call.shape(3)
  const kernel = call.dimension(1, -1)
  const past = state ?? (data && [...data.slice(0, -1), call.algebra.subtract(kernel, 1)])
  return [tensor(call.type(0), data), tensor(call.type(0), past)]
}

export const CONVOLUTION: readonly Family[] = [
  { operators: 'Conv DeformConv', rule: convolution(1, (call) => call.type(0)) },
  { operators: 'ConvInteger', rule: convolution(1, () => 'int32') },
  { operators: 'QLinearConv', rule: convolution(3, (call) => call.type(7) ?? call.type(0)) },
  { domain: MICROSOFT, operators: 'FusedConv', rule: convolution(1, (call) => call.type(0)) },
  { domain: MICROSOFT, operators: 'NhwcConv NhwcFusedConv', rule: convolution(1, (call) => call.type(0), true) },
  { domain: MICROSOFT, operators: 'QLinearConv', rule: convolution(3, (call) => call.type(7) ?? call.type(0)) },
  { operators: 'ConvTranspose', rule: transposed },
  { operators: 'AveragePool LpPool MaxPool', rule: pool },
  { domain: MICROSOFT, operators: 'MaxpoolWithMask NhwcMaxPool QLinearAveragePool', rule: pool },
  { operators: 'MaxUnpool', rule: unpool },
  { operators: 'MaxRoiPool', rule: regionsByAttribute },
  { operators: 'RoiAlign', rule: regionsAligned },
  { operators: 'Col2Im', rule: columnsToImage },
  { operators: 'GridSample', rule: gridSample },
  { domain: MICROSOFT, operators: 'GridSample', rule: gridSample },
  { operators: 'AffineGrid', rule: affineGrid },
  { operators: 'CausalConvWithState', rule: causalConvolution },
]
