# Whole answers of a web application, kept in the cache: a Rack middleware. SPDX-License-Identifier: MIT
#
#   require "pgcache/rack"
#   use PGCache::Rack, cache, ttl: 60, tags: ->(env) { ["orders"] }
#
# frozen_string_literal: true

require "openssl"
require "stringio"
require "pgcache"

module PGCache
  # A Rack middleware that answers GET and HEAD from the cache. Of all who ask for what is not there one has the application answer, in all
  # processes, and the others get the same; what an answer depends on is told by +tags+, so that nothing false is served after a commit.
  #
  # What is kept are answers to GET of status 200 whose length is known (an Array of Strings, or a Content-Length), unless there is a
  # Set-Cookie, a Cache-Control of +no-store+ or +private+, or a Vary that names what +vary+ does not; requests with Authorization or Cookie
  # are passed through unless +vary+ names these, or +key+ or +public+ is given; so are those that have a body, If-Match, or ask for a range.
  #
  # Answers carry +x-cache+: HIT, STALE, MISS (it was not there, and the application answered), BYPASS (the cache had nothing to do with it)
  # or ERROR (the cache failed, and the application answered; that took no longer than the setting +timeout_ms+). What is kept has an
  # +etag+, and If-None-Match is answered with 304. Its +cache-control+ is the application's, or <tt>no-cache</tt>: clients keep it and
  # ask each time. Nothing that a client sends makes the cache be passed by, or be filled anew.
  #
  # It is for Rack 2 and 3, and needs nothing of either.
  class Rack
    # The longest body that is kept, unless it is said otherwise, in bytes.
    MAX_BODY = 1024 * 1024
    # For so many seconds after an answer that may not be kept nobody waits for another one.
    NOTE = 5
    # How long the cache may take to store an answer when finding that it was not there has taken all the time, in seconds.
    AT_LEAST = 0.1
    # The longest key of the cache, in bytes.
    KEY = 4096
    # Requests that are about more than the whole answer.
    PASSED = %w[HTTP_RANGE HTTP_IF_RANGE HTTP_IF_MATCH HTTP_IF_UNMODIFIED_SINCE HTTP_UPGRADE].freeze
    # What says who asks: headers, and who a server or middleware before this one has found it to be.
    CREDENTIALS = { "authorization" => %w[HTTP_AUTHORIZATION REMOTE_USER], "cookie" => %w[HTTP_COOKIE] }.freeze
    # What has the application give no whole answer; the answer from the cache is compared here.
    CONDITIONS = %w[HTTP_IF_NONE_MATCH HTTP_IF_MODIFIED_SINCE].freeze
    # What belongs to one connection, or is said anew each time.
    NOT_KEPT = %w[connection keep-alive proxy-connection transfer-encoding te trailer upgrade content-length date x-cache].freeze
    # What an answer without a body still says (RFC 9110, 15.4.5).
    NOT_MODIFIED = %w[cache-control content-location etag expires vary x-cache].freeze
    # What Rack and Rails make an application's own address of, beside the host: it stands in its answers, and any client may say it.
    ADDRESS = %w[rack.url_scheme HTTPS HTTP_X_FORWARDED_HOST HTTP_X_FORWARDED_PORT HTTP_X_FORWARDED_PROTO HTTP_X_FORWARDED_SCHEME
                 HTTP_X_FORWARDED_SSL].freeze
    # What is about one connection: nobody calls back when a request that is done again has ended.
    CONNECTION = /\Arack\.(hijack|response_finished|after_reply)/
    private_constant :NOTE, :AT_LEAST, :KEY, :PASSED, :CREDENTIALS, :CONDITIONS, :NOT_KEPT, :NOT_MODIFIED, :ADDRESS, :CONNECTION

    # app:: the application
    # cache:: a PGCache::Cache
    # ttl, stale, lease:: as of Cache#get_or_load, in seconds. What is stale is given at once, while the request is done again in the
    #                     background, on a thread without a client: in Rails the middleware has to be before ActionDispatch::Executor then.
    # namespace:: the part of the cache to keep answers in; without it that of the cache
    # vary:: names of headers that the answer depends on, such as one of your own that says who asks: they become part of the key, and of
    #        the answer's Vary
    # key:: gives the key of a request, in place of its address
    # tags:: the tags of all answers, or what gives those of a request
    # public:: +true+: answers do not depend on Authorization and Cookie
    # max_age:: clients may keep answers for so many seconds, and never longer than the cache does, without asking. They hear of no invalidation
    #           meanwhile.
    # max_body:: the longest body that is kept, in bytes
    # bypass:: whether a request is to pass the cache by: neither read nor kept
    # refresh:: whether a request is not to be answered from the cache, but by the application, whose answer is kept
    #
    # What decides of requests is called with Rack's environment.
    def initialize(app, cache, ttl:, stale: nil, lease: nil, namespace: nil, vary: [], key: nil, tags: [], public: false, max_age: nil,
                   max_body: MAX_BODY, bypass: nil, refresh: nil)
      @app = app
      @cache = cache
      @storing = cache.setting("url") != "null:"
      @timeout = Integer(cache.setting("timeout_ms")) / 1000.0
      @ttl = ttl
      @where = { namespace: namespace }.compact
      @how = { ttl: ttl, stale: stale, lease: lease, absent_ttl: NOTE, **@where }.compact
      @vary = vary.map(&:downcase)
      @key = key
      @tags = tags
      @credentials = public || key ? [] : CREDENTIALS.except(*@vary).values.flatten
      @max_age = max_age
      @max_body = max_body
      @bypass = bypass
      @refresh = refresh
    end

    # Rack's call.
    def call(env)
      return pass(env) unless served?(env)

      env["REQUEST_METHOD"] == "HEAD" ? head(env) : get(env)
    end

    # What is kept of an answer: it looks as HTTP/1.1 has it on the wire, as pgcache's adapters of other languages store it, too.
    Kept = Struct.new(:headers, :body) do # :nodoc:
      # Nil of what is no answer.
      def self.load(bytes)
        return unless bytes.is_a?(String) && bytes.start_with?("HTTP/1.1 200 OK\r\n".b)

        head, body = bytes.split("\r\n\r\n", 2)
        lines = head.split("\r\n").drop(1).map { |line| line.split(":", 2) }
        fields = lines.group_by { |name,| name.downcase }.to_h { |name, alike| [name, alike.map { |_, value| value.to_s.strip }.join(", ")] }
        new(fields.except(*NOT_KEPT), body) if body && fields.key?("etag")
      end

      def dump
        ["HTTP/1.1 200 OK", *headers.map { |name, value| "#{name}: #{value}".b }, "", body].join("\r\n").b
      end
    end
    private_constant :Kept

    private

    def served?(env)
      %w[GET HEAD].include?(env["REQUEST_METHOD"]) && !body?(env) && PASSED.none? { |name| env.key?(name) } &&
        @credentials.none? { |name| env.key?(name) } && !@bypass&.call(env)
    end

    # What is in it may be taken for parameters, and is in no key.
    def body?(env)
      env["CONTENT_LENGTH"].to_i.positive? || env.key?("HTTP_TRANSFER_ENCODING")
    end

    # As the application answers, for this request alone.
    def pass(env, outcome = "BYPASS")
      status, headers, body = @app.call(env)
      [status, with(headers, "x-cache" => outcome), body]
    end

    # An answer to HEAD says too little to be kept.
    def head(env)
      begin
        entry = @cache.get_entry(key_of(env), **@where) unless @refresh&.call(env)
      rescue Error
        return pass(env, "ERROR")
      end
      kept = Kept.load(entry.value) if entry
      kept ? answer(env, kept, "HIT", entry.ttl) : pass(env, "MISS")
    end

    def get(env)
      key = key_of(env)
      begun = false
      limit = now + @timeout
      # Removed, and not overwritten later: what a load stores is never older than what it was told of.
      @cache.remove(key, **@where) if @refresh&.call(env)
      @cache.load(key, tags: tags_of(env), **@how) do |load|
        begun = true
        next found(env, load) if load.entry
        next fill(env, load, [limit - now, AT_LEAST].max) if load.lease?

        pass(env, load.status == :miss ? "BYPASS" : "MISS") # known not to be kept, or somebody else takes longer than a call may
      end
    rescue Error
      raise if begun # it is the application's

      pass(env, "ERROR")
    end

    def found(env, load)
      kept = Kept.load(load.value) or return pass(env, "ERROR") # somebody else's
      renew(env, load) if load.lease?
      load.entry.stale? ? answer(env, kept, "STALE", 0) : answer(env, kept, "HIT", load.entry.ttl)
    end

    def fill(env, load, deadline)
      status, headers, body = whole(env)
      kept, body = keep(status, headers, body)
      unless kept
        storing { load.fill_absent(deadline: deadline) } # nobody is to wait for the next one
        return [status, with(headers, "x-cache" => "MISS"), body]
      end
      outcome, left = store(load, kept, deadline)
      answer(env, kept, outcome, left)
    end

    # The lease is used behind the client's back. When the application fails the stale answer stands in for a while; but when it says
    # something else by now that may not be kept, it is not given any more.
    def renew(env, load)
      env = env.reject { |name, _| name.match?(CONNECTION) }.merge("rack.input" => StringIO.new("".b))
      load.in_background do |later|
        status, headers, body = whole(env)
        kept, body = keep(status, headers, body)
        body.close if body.respond_to?(:close)
        next later.fill(kept.dump) if kept

        status.to_i >= 500 ? later.fail : later.fill_absent
      rescue StandardError
        storing { later.fail if later.lease? }
        raise
      end
    end

    # The outcome, and how long the entry lives. A failure of the server that the cache makes a miss of gives a lease that stores nothing,
    # without a version; so does a cache that is switched off.
    def store(load, kept, deadline)
      version = load.fill(kept.dump, deadline: deadline) or return ["MISS", 0]
      version.zero? && @storing ? ["ERROR", 0] : ["MISS", @ttl]
    rescue TooLargeError # for the cache's setting max_value_bytes
      storing { load.fill_absent(deadline: deadline) }
      ["MISS", 0]
    rescue Error
      ["ERROR", 0]
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    def storing
      yield
    rescue Error
      nil
    end

    # What the application answers if nobody has anything yet.
    def whole(env)
      conditions = CONDITIONS.to_h { |name| [name, env.delete(name)] }.compact
      @app.call(env)
    ensure
      env.merge!(conditions)
    end

    # What is to be kept of an answer, or nil; and its body, which may have been read.
    def keep(status, headers, body)
      fields = fields(headers)
      return [nil, body] unless status.to_i == 200 && keepable?(fields)

      length = length(fields)
      parts = parts(length, body) or return [nil, body]
      bytes = gather(parts, body)
      whole = length.nil? || length == bytes.bytesize
      kept = Kept.new(kept_headers(fields, bytes), bytes) if whole && bytes.bytesize <= @max_body
      [kept, [bytes]]
    end

    # The lines of each header. A Hash may have one twice, in capitals and not.
    def fields(headers)
      headers.each_with_object({}) { |(name, value), fields| (fields[name.downcase] ||= []).concat(several(value)) }
    end

    def keepable?(fields)
      return false if %w[set-cookie transfer-encoding trailer rack.hijack].any? { |name| fields.key?(name) }
      return false if fields.values.flatten.any? { |line| line.include?("\r") }
      return false if words(fields["cache-control"]).any? { |word| %w[no-store private].include?(word[/\A[^=]*/]) }

      (words(fields["vary"]) - @vary).empty?
    end

    # What a body is made of, if that is known to have an end; what has none, or comes little by little, is nobody's to wait for.
    def parts(length, body)
      parts = body.to_ary if body.respond_to?(:to_ary)
      return parts if parts

      body if body.respond_to?(:each) && length && length <= @max_body
    end

    # What an answer says of its length, or nil.
    def length(fields)
      said = fields["content-length"]&.first.to_s
      said.to_i if said.match?(/\A\d+\z/)
    end

    def gather(parts, body)
      bytes = String.new(encoding: Encoding::BINARY)
      parts.each { |part| bytes << part.b }
      bytes
    ensure
      body.close if body.respond_to?(:close)
    end

    def kept_headers(fields, bytes)
      kept = fields.transform_values { |lines| lines.join(", ") }
      kept.reject! { |name, _| NOT_KEPT.include?(name) || name.start_with?("rack.") }
      vary = (words(kept["vary"]) | @vary).join(", ")
      kept["vary"] = vary unless vary.empty?
      kept["etag"] ||= %("#{OpenSSL::Digest::SHA256.hexdigest(bytes)[0, 32]}")
      kept
    end

    def answer(env, kept, outcome, left)
      headers = { **kept.headers, "x-cache" => outcome }
      headers["cache-control"] ||= @max_age ? "max-age=#{[@max_age, left].min.floor}" : "no-cache"
      return [304, headers.slice(*NOT_MODIFIED), []] if matches?(env, headers["etag"])

      headers["content-length"] = kept.body.bytesize.to_s
      [200, headers, env["REQUEST_METHOD"] == "HEAD" ? [] : [kept.body]]
    end

    # RFC 9110, 13.1.2: what differs as weak and strong alone is the same.
    def matches?(env, etag)
      asked = env["HTTP_IF_NONE_MATCH"] or return false
      asked.strip == "*" || asked.scan(/"[^"]*"/).include?(etag.delete_prefix("W/"))
    end

    def key_of(env)
      parts = @key ? [@key.call(env)] : [host(env), path(env), env["QUERY_STRING"], address(env)]
      parts << said(env, @vary.map { |name| variable(name) }) unless @vary.empty?
      key = parts.map { |part| part.to_s.b }.join("\0")
      key.bytesize > KEY ? "sha256:#{OpenSSL::Digest::SHA256.hexdigest(key)}" : key
    end

    def host(env)
      (env["HTTP_HOST"] || "#{env["SERVER_NAME"]}:#{env["SERVER_PORT"]}").downcase
    end

    def path(env)
      env["SCRIPT_NAME"].to_s + env["PATH_INFO"].to_s
    end

    # What Rack and Rails take the host and the scheme from. Forwarded says who the client is, too, which matters to nobody.
    def address(env)
      said(env, ADDRESS, env["HTTP_FORWARDED"].to_s.split(/[;,]/).grep_v(/\A\s*(for|by)\b/i))
    end

    # Values of headers may be secret, and are not to be read in a key; no header is something else than an empty one.
    def said(env, names, *more)
      OpenSSL::Digest::SHA256.hexdigest([*names.map { |name| env[name] }, *more].inspect)
    end

    def variable(name)
      "HTTP_#{name.upcase.tr("-", "_")}"
    end

    def tags_of(env)
      @tags.respond_to?(:call) ? @tags.call(env) : @tags
    end

    # Header fields have names of any case.
    def with(headers, fields)
      headers.reject { |name, _| fields.key?(name.downcase) }.to_h.merge(fields)
    end

    # The values of a header: lines with Rack 2, an Array with Rack 3.
    def several(value)
      Array(value).flat_map { |text| text.to_s.split("\n") }
    end

    def words(value)
      several(value).join(",").downcase.split(",").map(&:strip)
    end
  end
end
