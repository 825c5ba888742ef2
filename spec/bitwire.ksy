meta:
  id: bitwire
  title: BIT frame
  file-extension: bit
  license: MIT OR Apache-2.0
  ks-version: 0.11
  endian: be
doc-ref: spec/frame.md
doc: |
  One BIT frame, and nothing after it. spec/frame.md is the envelope; the typed views are in spec/beacon.md, ledger.md, mirror.md,
  engram.md and gist.md. Those documents are what counts.

  Reading a frame checks what the frame parser checks. The instance `view` is the typed view of the frame's kind: reading it checks
  the shapes and values of that kind.

  What Kaitai Struct cannot say, and so is not checked here:

  - CRC-16, the hash of CONTEXT_V1, the hash of DIGEST_V1, HMAC_V1 (Crc, ContextHash, Digest, Hmac);
  - canonical JSON: the text of CONTEXT_V1 and of RESULTS_V1, and the flags that have to agree with the latter (Context, Results,
    FlagsResults);
  - UTF-8, and whether a string starts and ends between characters (Utf8): most runtimes replace what is none;
  - sums and products over 64 bits (Size), where a runtime's integers wrap or are floats.

  It says that a frame is wrong, but not which of several faults is the first ("Order of checks"), and gives no offset.
seq:
  - id: magic
    contents: [0x42, 0x49, 0x54, 0x01]
  - id: ctx
    size: 8
    doc: BLAKE2b-64 of CONTEXT_V1's value, if that is there.
  - id: tlvs
    type: tlv(_index)
    repeat: until
    repeat-until: _.tag == tlv_type::end
  - id: payload
    size: config.payload_len
    if: ofs_payload > 0
    doc: The same bytes as in view.
  - id: crc16
    type: u2
    doc: CRC-16/IBM-3740 of all bytes between the magic and this field.
  - id: digest_is_there
    size: 0
    valid:
      expr: has_digest or (ofs_payload + config.payload_len - 4 <= 4093 and config.kind != kind::ledger_chunk)
    doc: DigestMissing
  - id: flags_agree_with_hmac
    size: 0
    valid:
      expr: ((flags & 1) == 1) == has_hmac
    doc: FlagsHmac
  - id: nothing_follows
    size: 0
    valid:
      expr: _io.eof
    doc: TrailingBytes
instances:
  ofs_payload:
    value: _io.pos
  config:
    value: tlvs[0].value.as<config_v1>
  has_flags:
    value: tlvs[1].tag == tlv_type::flags_v1
  flags:
    value: 'has_flags ? tlvs[1].value.as<flags_v1>.flags : 0'
  # Types strictly increase, so that a TLV can stand in few places: from the end PAD_V1, HMAC_V1, DIGEST_V1, ...
  has_pad:
    value: tlvs[tlvs.size - 2].tag == tlv_type::pad_v1
  hmac_at:
    value: 'tlvs.size - (has_pad ? 3 : 2)'
  has_hmac:
    value: tlvs[hmac_at].tag == tlv_type::hmac_v1
  digest_at:
    value: 'hmac_at - (has_hmac ? 1 : 0)'
  has_digest:
    value: tlvs[digest_at].tag == tlv_type::digest_v1
  # ... and from the start CONFIG_V1, FLAGS_V1, those of 03-7F, CONTEXT_V1, LEDGER_MARKS_V1, GIST_METADATA_V1.
  own_at:
    value: 'has_flags ? 2 : 1'
  own:
    value: tlvs[own_at]
    doc: The first TLV of 03-7F, if there is one.
  owns:
    value: 'not own.is_of_a_kind ? 0 : not tlvs[own_at + 1].is_of_a_kind ? 1 : not tlvs[own_at + 2].is_of_a_kind ? 2 : 3'
    doc: How many TLVs of 03-7F there are; 3 for more.
  context_at:
    value: own_at + owns
  marks_at:
    value: 'context_at + (tlvs[context_at].tag == tlv_type::context_v1 ? 1 : 0)'
  has_marks:
    value: tlvs[marks_at].tag == tlv_type::ledger_marks_v1
  metadata_at:
    value: 'marks_at + (has_marks ? 1 : 0)'
  has_metadata:
    value: tlvs[metadata_at].tag == tlv_type::gist_metadata_v1
  element_size:
    value: >-
      config.element == element::f32 or config.element == element::u32 ? 4 :
      config.element == element::u8 or config.element == element::i8 ? 1 : 2
  is_float_or_i16:
    value: >-
      config.element == element::i16 or config.element == element::f16 or config.element == element::bf16 or
      config.element == element::f32
  view:
    pos: ofs_payload
    size: config.payload_len
    type:
      switch-on: config.kind
      cases:
        'kind::beacon': beacon
        'kind::ledger_chunk': ledger_chunk
        'kind::ledger_index': ledger_index
        'kind::mirror': mirror
        'kind::engram_index': engram_index
        'kind::gist': gist
        'kind::blocks': blocks
        'kind::whitening': whitening
    doc: The typed view. Frames of other kinds have none.

enums:
  kind:
    0: beacon
    1: ledger_chunk
    2: ledger_index
    3: mirror
    4: engram_index
    5: gist
    6: blocks
    7: whitening
  element:
    0: structured
    1: i16
    2: u8
    3: u16
    4: u32
    5: f16
    6: bf16
    7: f32
    8: i8
    9: bits
  tlv_type:
    0x01: config_v1
    0x02: flags_v1
    0x03: calib_stats_v1
    0x04: results_v1
    0x10: ledger_chunk_v1
    0x11: ledger_index_v1
    0x12: mirror_v1
    0x13: gist_v1
    0x14: engram_index_v1
    0x80: context_v1
    0x81: ledger_marks_v1
    0x82: gist_metadata_v1
    0xf0: digest_v1
    0xf1: hmac_v1
    0xfe: pad_v1
    0xff: end
  sigma_kind:
    0: none
    1: trace
    2: diagonal
    3: full
  encoding:
    0: raw
    1: packed
  mirror_mode:
    0: replace
    1: add
  metric:
    0: inner_product
    1: cosine
    2: max_sim
  method:
    0: unknown
    1: mean_pool
    2: svd
    3: xkv
    4: fourier_v1
    5: fourier_v2
    6: whitened_mean
    7: whitened_centroids

types:
  tlv:
    params:
      - id: i
        type: s4
    seq:
      - id: tag
        type: u1
        enum: tlv_type
        valid:
          expr: >-
            (i == 0 ? _ == tlv_type::config_v1 : _.to_i > _root.tlvs[i - 1].tag.to_i) and
            (_.to_i <= 0x04 or _.to_i >= 0x10 and _.to_i <= 0x14 or _.to_i >= 0x80 and _.to_i <= 0xf1 or _.to_i >= 0xfe)
        doc: ConfigNotFirst, TlvOrder, CriticalTlv, ReservedTlv
      - id: len_value
        type: u2
        valid:
          expr: _ >= least and (_ == least or is_open)
        doc: TlvLength
      - id: value
        size: len_value
        if: ofs_value > 0
        type:
          switch-on: tag
          cases:
            'tlv_type::config_v1': config_v1
            'tlv_type::flags_v1': flags_v1
            'tlv_type::digest_v1': digest_v1
            'tlv_type::hmac_v1': hmac_v1
            'tlv_type::pad_v1': pad_v1
    instances:
      ofs_value:
        value: _io.pos
      is_of_a_kind:
        value: tag.to_i >= 0x03 and tag.to_i <= 0x7f
      least:
        value: >-
          tag == tlv_type::config_v1 ? 24 :
          tag == tlv_type::flags_v1 ? 4 :
          tag == tlv_type::calib_stats_v1 ? 32 :
          tag == tlv_type::ledger_chunk_v1 ? 24 :
          tag == tlv_type::ledger_index_v1 ? 88 :
          tag == tlv_type::mirror_v1 ? 48 :
          tag == tlv_type::gist_v1 ? 56 :
          tag == tlv_type::engram_index_v1 ? 24 :
          tag == tlv_type::ledger_marks_v1 ? 4 :
          tag == tlv_type::digest_v1 or tag == tlv_type::hmac_v1 ? 33 : 0
      is_open:
        value: >-
          tag == tlv_type::calib_stats_v1 or tag == tlv_type::results_v1 or
          tag.to_i >= 0x80 and tag != tlv_type::digest_v1 and tag != tlv_type::hmac_v1 and tag != tlv_type::end
      body:
        pos: ofs_value
        size: len_value
        type:
          switch-on: tag
          cases:
            'tlv_type::calib_stats_v1': calib_stats_v1
            'tlv_type::results_v1': json
            'tlv_type::ledger_chunk_v1': ledger_chunk_v1
            'tlv_type::ledger_index_v1': ledger_index_v1
            'tlv_type::mirror_v1': mirror_v1
            'tlv_type::gist_v1': gist_v1
            'tlv_type::engram_index_v1': engram_index_v1
            'tlv_type::context_v1': json
            'tlv_type::ledger_marks_v1': ledger_marks_v1
            'tlv_type::gist_metadata_v1': json
        doc: The value of a TLV that the frame parser does not look into, for the typed views.

  json:
    seq:
      - id: text
        type: str
        encoding: UTF-8
        size-eos: true

  # The envelope.
  config_v1:
    seq:
      - id: kind
        type: u1
        enum: kind
      - id: element
        type: u1
        enum: element
        valid:
          in-enum: true
      - id: reserved
        type: u2
        valid: 0
      - id: rows
        type: u4
      - id: dim
        type: u4
      - id: delta_q16
        type: u4
        valid:
          expr: (_ != 0) == (element == element::i16)
      - id: payload_len
        type: u8
  flags_v1:
    seq:
      - id: flags
        type: u4
        valid:
          expr: (_ & 0xfff8) == 0
        doc: "1: AUTHENTICATED, 2: ALERT, 4: BASELINE"
  digest_v1:
    seq:
      - id: version
        type: u1
        valid: 1
      - id: hash
        size: 32
  hmac_v1:
    seq:
      - id: version
        type: u1
        valid: 1
      - id: hash
        size: 32
  pad_v1:
    seq:
      - id: zeroes
        type: u1
        repeat: eos
        valid: 0

  # Kind 0.
  beacon:
    seq:
      - id: tlvs_belong
        size: 0
        valid:
          expr: '_root.owns == (has_calib ? 1 : 0) + (has_results ? 1 : 0)'
      - id: shape_is_right
        size: 0
        valid:
          expr: >-
            _root.config.element == element::i16 and _root.config.rows >= 1 and _root.config.dim >= 1 and
            _root.config.rows * _root.config.dim * 2 == _root.config.payload_len
      - id: calib_is_of_this_dim
        size: 0
        valid:
          expr: not has_calib or calib.dim == _root.config.dim
      - id: rows
        type: row
        repeat: expr
        repeat-expr: _root.config.rows
    instances:
      has_calib:
        value: _root.own.tag == tlv_type::calib_stats_v1
      results_tlv:
        value: '_root.tlvs[_root.own_at + (has_calib ? 1 : 0)]'
      has_results:
        value: results_tlv.tag == tlv_type::results_v1
      calib:
        value: _root.own.body.as<calib_stats_v1>
        if: has_calib
      results:
        value: results_tlv.body.as<json>
        if: has_results
    types:
      row:
        seq:
          - id: q
            type: s2le
            repeat: expr
            repeat-expr: _root.config.dim
  calib_stats_v1:
    seq:
      - id: sigma_kind
        type: u1
        enum: sigma_kind
        valid:
          in-enum: true
      - id: has_mu
        type: u1
        valid:
          max: 1
      - id: reserved
        type: u2
        valid: 0
      - id: dim
        type: u4
      - id: w
        type: f8
        valid:
          expr: _ >= 0 and _ <= 1.7976931348623157e308
      - id: t0
        type: f8
        valid:
          expr: _ >= -1.7976931348623157e308 and _ <= 1.7976931348623157e308
      - id: t1
        type: f8
        valid:
          expr: _ >= t0 and _ <= 1.7976931348623157e308
      - id: mu
        type: f4
        repeat: expr
        repeat-expr: 'has_mu == 1 ? dim : 0'
        valid:
          expr: _ >= -3.4028235e38 and _ <= 3.4028235e38
      - id: trace
        type: f8
        if: sigma_kind == sigma_kind::trace
        valid:
          expr: _ >= -1.7976931348623157e308 and _ <= 1.7976931348623157e308
      - id: sigma
        type: f4
        repeat: expr
        repeat-expr: 'sigma_kind == sigma_kind::diagonal ? dim : sigma_kind == sigma_kind::full ? dim * (dim + 1) / 2 : 0'
        valid:
          expr: _ >= -3.4028235e38 and _ <= 3.4028235e38
        doc: The diagonal, or the upper triangle row by row.
      - id: nothing_follows
        size: 0
        valid:
          expr: _io.eof

  # Kind 1.
  ledger_chunk:
    seq:
      - id: tlvs_belong
        size: 0
        valid:
          expr: _root.owns == 1 and _root.own.tag == tlv_type::ledger_chunk_v1
      - id: shape_is_right
        size: 0
        valid:
          expr: _root.config.rows == 1 and _root.config.dim == dim and _root.config.payload_len == dim * _root.element_size
      - id: encoding_goes_with_element
        size: 0
        valid:
          expr: >-
            chunk.encoding == encoding::packed ? _root.config.element == element::u8 :
            _root.config.element == element::u16 or _root.config.element == element::u32
      - id: marks_are_right
        size: 0
        valid:
          expr: not _root.has_marks or marks.passkey_count == marks.passkeys.size
      - id: tokens_u2
        type: u2le
        repeat: expr
        repeat-expr: 'chunk.encoding == encoding::raw and _root.config.element == element::u16 ? chunk.length : 0'
      - id: tokens_u4
        type: u4le
        repeat: expr
        repeat-expr: 'chunk.encoding == encoding::raw and _root.config.element == element::u32 ? chunk.length : 0'
      - id: packed
        size-eos: true
        valid:
          expr: >-
            chunk.encoding == encoding::raw or chunk.length * chunk.bits % 8 == 0 or
            _.last >> (chunk.length * chunk.bits % 8) == 0
        doc: Token i is bits [i * bits, (i + 1) * bits), least significant first.
    instances:
      chunk:
        value: _root.own.body.as<ledger_chunk_v1>
      dim:
        value: 'chunk.encoding == encoding::raw ? chunk.length : (chunk.length * chunk.bits + 7) / 8'
      marks:
        value: _root.tlvs[_root.marks_at].body.as<ledger_marks_v1>
        if: _root.has_marks
  ledger_chunk_v1:
    seq:
      - id: chunk_id
        type: u8
      - id: start
        type: u8
      - id: length
        type: u4
        valid:
          min: 1
      - id: encoding
        type: u1
        enum: encoding
        valid:
          in-enum: true
      - id: bits
        type: u1
        valid:
          expr: 'encoding == encoding::raw ? _ == 0 : _ >= 1 and _ <= 32'
      - id: reserved
        type: u2
        valid: 0
    instances:
      end:
        value: start + length
  ledger_marks_v1:
    seq:
      - id: passkey_count
        type: u2
      - id: span_count
        type: u2
      - id: passkeys
        type: passkey(_index)
        repeat: expr
        repeat-expr: passkey_count
      - id: spans
        type: span(_index)
        repeat: expr
        repeat-expr: span_count
      - id: nothing_follows
        size: 0
        valid:
          expr: _io.eof
    instances:
      end:
        value: _root.own.body.as<ledger_chunk_v1>.end
    types:
      passkey:
        params:
          - id: i
            type: s4
        seq:
          - id: position
            type: u8
            valid:
              expr: _ < _parent.end and (i == 0 or _ > _parent.passkeys[i - 1].position)
      span:
        params:
          - id: i
            type: s4
        seq:
          - id: start
            type: u8
          - id: length
            type: u8
            valid:
              expr: _ >= 1 and start + _ <= _parent.end
          - id: len_name
            type: u2
            valid:
              min: 1
          - id: name
            size: len_name
            valid:
              expr: i == 0 or _ > _parent.spans[i - 1].name
            doc: UTF-8

  # Kind 2.
  ledger_index:
    seq:
      - id: tlvs_belong
        size: 0
        valid:
          expr: _root.owns == 1 and _root.own.tag == tlv_type::ledger_index_v1
      - id: shape_is_right
        size: 0
        valid:
          expr: >-
            _root.config.element == element::structured and _root.config.rows == 0 and _root.config.dim == 0 and
            _root.config.payload_len == 40 * index.anchor_count + 24 * index.passkey_count + 24 * index.span_count + index.names_len
      - id: anchors
        type: anchor(_index)
        repeat: expr
        repeat-expr: index.anchor_count
      - id: passkeys
        type: passkey(_index)
        repeat: expr
        repeat-expr: index.passkey_count
      - id: spans
        type: span(_index)
        repeat: expr
        repeat-expr: index.span_count
      - id: names
        type: name(_index)
        repeat: expr
        repeat-expr: index.span_count
      - id: nothing_follows
        size: 0
        valid:
          expr: _io.eof
    instances:
      index:
        value: _root.own.body.as<ledger_index_v1>
    types:
      anchor:
        params:
          - id: i
            type: s4
        seq:
          - id: chunk_id
            type: u8le
            valid:
              expr: _ == i * _parent.index.anchor_stride
          - id: start
            type: u8le
            valid:
              expr: 'i == 0 ? _ == 0 : _ > _parent.anchors[i - 1].start'
          - id: offset
            type: u8le
            valid:
              expr: '(i == 0 ? _ == 0 : _ > _parent.anchors[i - 1].offset) and _ < _parent.index.ledger_len'
          - id: length
            type: u4le
            valid:
              expr: _ >= 1 and _ <= _parent.index.chunk_tokens and start + _ <= _parent.index.total_tokens
          - id: reserved
            type: u4le
            valid: 0
          - id: sha256_prefix
            size: 8
      passkey:
        params:
          - id: i
            type: s4
        seq:
          - id: position
            type: u8le
            valid:
              expr: (i == 0 or _ > _parent.passkeys[i - 1].position) and _ < _parent.index.total_tokens
          - id: chunk_id
            type: u8le
            valid:
              expr: _ < _parent.index.chunk_count
          - id: offset
            type: u4le
            valid:
              expr: _ < _parent.index.chunk_tokens
          - id: token
            type: u4le
      span:
        params:
          - id: i
            type: s4
        seq:
          - id: start
            type: u8le
          - id: length
            type: u8le
            valid:
              expr: _ >= 1 and start + _ <= _parent.index.total_tokens
          - id: name_off
            type: u4le
            valid:
              expr: '_ == (i == 0 ? 0 : _parent.spans[i - 1].name_off + _parent.spans[i - 1].name_len)'
          - id: name_len
            type: u4le
            valid:
              expr: _ >= 1 and name_off + _ <= _parent.index.names_len
      name:
        params:
          - id: i
            type: s4
        seq:
          - id: name
            size: _parent.spans[i].name_len
            valid:
              expr: i == 0 or _ > _parent.names[i - 1].name
            doc: UTF-8
  ledger_index_v1:
    seq:
      - id: total_tokens
        type: u8
      - id: chunk_count
        type: u8
        valid:
          expr: 'total_tokens >= _ and (_ != 0 or total_tokens == 0)'
      - id: ledger_len
        type: u8
        valid:
          expr: '_ >= 108 * chunk_count and (chunk_count != 0 or _ == 0)'
      - id: chunk_tokens
        type: u4
        valid:
          expr: 'chunk_count == 0 ? _ == 0 : _ <= total_tokens and (total_tokens + chunk_count - 1) / chunk_count <= _'
      - id: anchor_stride
        type: u4
        valid:
          min: 1
      - id: anchor_count
        type: u4
        valid:
          expr: _ == (chunk_count + anchor_stride - 1) / anchor_stride
      - id: passkey_count
        type: u4
      - id: span_count
        type: u4
      - id: names_len
        type: u4
      - id: root
        size: 32
      - id: reserved
        type: u8
        valid: 0

  # Kind 3.
  mirror:
    seq:
      - id: tlvs_belong
        size: 0
        valid:
          expr: _root.owns == 1 and _root.own.tag == tlv_type::mirror_v1
      - id: shape_is_right
        size: 0
        valid:
          expr: >-
            _root.config.dim >= 1 and _root.config.rows <= mirror.total_blocks and
            _root.config.payload_len == _root.config.rows * (4 + _root.config.dim * _root.element_size)
      - id: element_goes_with_mode
        size: 0
        valid:
          expr: >-
            _root.config.element == mirror.master_element or
            mirror.mode == mirror_mode::add and _root.config.element == element::i16
      - id: indices
        type: block_index(_index)
        repeat: expr
        repeat-expr: _root.config.rows
      - id: values
        size: _root.config.dim * _root.element_size
        repeat: expr
        repeat-expr: _root.config.rows
    instances:
      mirror:
        value: _root.own.body.as<mirror_v1>
    types:
      block_index:
        params:
          - id: i
            type: s4
        seq:
          - id: value
            type: u4le
            valid:
              expr: _ < _parent.mirror.total_blocks and (i == 0 or _ > _parent.indices[i - 1].value)
  mirror_v1:
    seq:
      - id: total_blocks
        type: u4
        valid:
          min: 1
      - id: mode
        type: u1
        enum: mirror_mode
        valid:
          in-enum: true
      - id: master_element
        type: u1
        enum: element
        valid:
          expr: >-
            _ == element::f16 or _ == element::bf16 or _ == element::f32 or
            _ == element::i16 and mode == mirror_mode::replace
      - id: reserved
        type: u2
        valid: 0
      - id: threshold
        type: f8
        valid:
          expr: _ >= 0 and _ <= 1.7976931348623157e308
      - id: master_digest
        size: 32

  # Kind 4.
  engram_index:
    seq:
      - id: tlvs_belong
        size: 0
        valid:
          expr: _root.owns == 1 and _root.own.tag == tlv_type::engram_index_v1
      - id: element_is_right
        size: 0
        valid:
          expr: >-
            _root.config.element == element::i16 or _root.config.element == element::f16 or _root.config.element == element::f32 or
            _root.config.element == element::i8 or _root.config.element == element::bits
      - id: shape_is_right
        size: 0
        valid:
          expr: >-
            _root.config.dim >= 1 and _root.config.rows % index.vectors_per_entry == 0 and
            _root.config.payload_len == _root.config.rows * (row_len + scale_len) + 40 * entry_count + index.strings_len
      - id: vectors
        type: vector
        repeat: expr
        repeat-expr: _root.config.rows
      - id: scales
        type: f4le
        repeat: expr
        repeat-expr: 'scale_len == 0 ? 0 : _root.config.rows'
        valid:
          expr: _ >= 0 and _ <= 3.4028235e38
      - id: entries
        type: entry
        repeat: expr
        repeat-expr: entry_count
      - id: strings
        size: index.strings_len
        type: bytes_alone
    instances:
      index:
        value: _root.own.body.as<engram_index_v1>
      row_len:
        value: '_root.config.element == element::bits ? (_root.config.dim + 7) / 8 : _root.config.dim * _root.element_size'
      scale_len:
        value: '_root.config.element == element::i8 ? 4 : 0'
      entry_count:
        value: _root.config.rows / index.vectors_per_entry
    types:
      bytes_alone:
        seq:
          - id: all
            size-eos: true
      vector:
        seq:
          - id: components
            size: _parent.row_len
            valid:
              expr: >-
                _root.config.element != element::bits or _root.config.dim % 8 == 0 or
                _.last >> (_root.config.dim % 8) == 0
      entry:
        seq:
          - id: l2_norm
            type: f4le
          - id: context_len
            type: u4le
          - id: created_at
            type: s8le
          - id: cache_id
            type: text
          - id: task_description
            type: text
          - id: model_id
            type: text
      text:
        seq:
          - id: offset
            type: u4le
          - id: length
            type: u4le
            valid:
              expr: offset + _ <= _parent._parent.index.strings_len
        instances:
          text:
            io: _parent._parent.strings._io
            pos: offset
            size: length
            type: str
            encoding: UTF-8
  engram_index_v1:
    seq:
      - id: metric
        type: u1
        enum: metric
        valid:
          in-enum: true
      - id: method
        type: u1
        enum: method
        valid:
          in-enum: true
      - id: vectors_per_entry
        type: u2
        valid:
          expr: _ >= 1 and (_ == 1 or metric == metric::max_sim)
      - id: strings_len
        type: u4
      - id: whitening_prefix
        size: 8
      - id: reserved
        type: u8
        valid: 0

  # Kind 5.
  gist:
    seq:
      - id: tlvs_belong
        size: 0
        valid:
          expr: _root.owns == 1 and _root.own.tag == tlv_type::gist_v1
      - id: shape_is_right
        size: 0
        valid:
          expr: >-
            _root.is_float_or_i16 and _root.config.rows == gist.n_layers * 2 * gist.n_kv_heads * gist.n_gist and
            _root.config.dim == gist.head_dim and
            _root.config.payload_len == _root.config.rows * _root.config.dim * _root.element_size
      - id: layers
        type: layer
        repeat: expr
        repeat-expr: gist.n_layers
    instances:
      gist:
        value: _root.own.body.as<gist_v1>
      metadata:
        value: _root.tlvs[_root.metadata_at].body.as<json>
        if: _root.has_metadata
      head_len:
        value: gist.n_gist * gist.head_dim * _root.element_size
    types:
      layer:
        seq:
          - id: keys
            size: _parent.head_len
            repeat: expr
            repeat-expr: _parent.gist.n_kv_heads
          - id: values
            size: _parent.head_len
            repeat: expr
            repeat-expr: _parent.gist.n_kv_heads
  gist_v1:
    seq:
      - id: n_layers
        type: u4
        valid:
          min: 1
      - id: n_kv_heads
        type: u4
        valid:
          min: 1
      - id: n_gist
        type: u4
        valid:
          min: 1
      - id: head_dim
        type: u4
        valid:
          min: 1
      - id: source_tokens
        type: u8
      - id: source_root
        size: 32

  # Kind 6.
  blocks:
    seq:
      - id: tlvs_belong
        size: 0
        valid:
          expr: _root.owns == 0
      - id: shape_is_right
        size: 0
        valid:
          expr: >-
            _root.is_float_or_i16 and _root.config.rows >= 1 and _root.config.dim >= 1 and
            _root.config.payload_len == _root.config.rows * _root.config.dim * _root.element_size
      - id: blocks
        size: _root.config.dim * _root.element_size
        repeat: expr
        repeat-expr: _root.config.rows

  # Kind 7.
  whitening:
    seq:
      - id: tlvs_belong
        size: 0
        valid:
          expr: _root.owns == 0
      - id: shape_is_right
        size: 0
        valid:
          expr: >-
            _root.config.element == element::f32 and _root.config.rows >= 2 and _root.config.dim >= 1 and
            _root.config.payload_len == _root.config.rows * _root.config.dim * 4
      - id: mean
        type: f4le
        repeat: expr
        repeat-expr: _root.config.dim
        valid:
          expr: _ >= -3.4028235e38 and _ <= 3.4028235e38
      - id: directions
        type: direction
        repeat: expr
        repeat-expr: _root.config.rows - 1
    types:
      direction:
        seq:
          - id: components
            type: f4le
            repeat: expr
            repeat-expr: _root.config.dim
            valid:
              expr: _ >= -3.4028235e38 and _ <= 3.4028235e38
