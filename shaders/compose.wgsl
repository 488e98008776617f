// One pass: captured planes → R'G'B', the layers over it, placed on the target. The same integers as the host
// compositor (src/overlay/convert.rs and blend.rs); golden pictures hold the two together.

struct Params {
    // Of the picture; format 0: NV12, 1: I420, 2: RGB, 3: none (black).
    width: u32,
    height: u32,
    format: u32,
    layers: u32,
    // Bytes from row to row and from the frame's start, of planes 0, 1, 2 (plane 0 starts at 0).
    stride_0: u32,
    stride_1: u32,
    stride_2: u32,
    offset_1: u32,
    offset_2: u32,
    // Coefficients with 14 fraction bits.
    y_offset: i32,
    cy: i32,
    rv: i32,
    gu: i32,
    gv: i32,
    bu: i32,
    pad: u32,
    // Where the picture lies in the target.
    place_x: u32,
    place_y: u32,
    place_width: u32,
    place_height: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> frame: array<u32>;
// Bytes B, G, R, A of a layer stand in r, g, b, a.
@group(0) @binding(2) var layer_0: texture_2d<u32>;
@group(0) @binding(3) var layer_1: texture_2d<u32>;

@vertex
fn vertex_main(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    // One triangle that covers the target.
    return vec4<f32>(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

fn byte_at(offset: u32) -> i32 {
    return i32((frame[offset >> 2u] >> ((offset & 3u) * 8u)) & 255u);
}

fn rgb_of(y: i32, u: i32, v: i32) -> vec3<i32> {
    let luma = params.cy * (y - params.y_offset) + 8192;
    let cb = u - 128;
    let cr = v - 128;
    let sum = vec3<i32>(luma + params.rv * cr, luma - params.gu * cb - params.gv * cr, luma + params.bu * cb);
    return clamp(sum >> vec3<u32>(14u), vec3<i32>(0), vec3<i32>(255));
}

fn picture_at(x: u32, y: u32) -> vec3<i32> {
    switch params.format {
        case 0u: {
            let chroma = params.offset_1 + (y / 2u) * params.stride_1 + (x / 2u) * 2u;
            return rgb_of(byte_at(y * params.stride_0 + x), byte_at(chroma), byte_at(chroma + 1u));
        }
        case 1u: {
            let u = byte_at(params.offset_1 + (y / 2u) * params.stride_1 + x / 2u);
            let v = byte_at(params.offset_2 + (y / 2u) * params.stride_2 + x / 2u);
            return rgb_of(byte_at(y * params.stride_0 + x), u, v);
        }
        case 2u: {
            let at = y * params.stride_0 + x * 3u;
            return vec3<i32>(byte_at(at), byte_at(at + 1u), byte_at(at + 2u));
        }
        default: {
            return vec3<i32>(0);
        }
    }
}

fn over(bgra: vec4<u32>, rgb: vec3<i32>) -> vec3<i32> {
    if bgra.a == 0u {
        return rgb;
    }
    let t = rgb * (255 - i32(bgra.a)) + vec3<i32>(128);
    return vec3<i32>(bgra.bgr) + ((t + (t >> vec3<u32>(8u))) >> vec3<u32>(8u));
}

@fragment
fn fragment_main(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let target_x = u32(position.x);
    let target_y = u32(position.y);
    if target_x < params.place_x || target_y < params.place_y
        || target_x >= params.place_x + params.place_width || target_y >= params.place_y + params.place_height {
        return vec4<f32>(0.0, 0.0, 0.0, 1.0);
    }
    let x = (2u * (target_x - params.place_x) + 1u) * params.width / (2u * params.place_width);
    let y = (2u * (target_y - params.place_y) + 1u) * params.height / (2u * params.place_height);
    var rgb = picture_at(x, y);
    if params.layers > 0u {
        rgb = over(textureLoad(layer_0, vec2<u32>(x, y), 0), rgb);
    }
    if params.layers > 1u {
        rgb = over(textureLoad(layer_1, vec2<u32>(x, y), 0), rgb);
    }
    return vec4<f32>(vec3<f32>(rgb) / 255.0, 1.0);
}
