# The Rack middleware, with Rack itself. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"
require "digest"
require "net/http"
require "pgcache/rack"
begin
  require "rack"
  require "rack/lint"
  require "rack/mock"
  require "puma"
  require "puma/server"
rescue LoadError => error
  RACK_MISSING = "the gems rack and puma are needed (Debian: ruby-rack, puma): #{error.message}"
end

class TestRack < PGCacheTest
  class Boom < StandardError; end

  # An application that counts its calls, and answers as it is told, or with how often it was called.
  class Counting
    attr_reader :calls, :environments
    attr_accessor :status, :headers, :body, :doing

    def initialize
      @status, @headers = 200, { "content-type" => "text/plain" }
      @lock = Mutex.new
      @calls = 0
      @environments = []
    end

    def call(env)
      number = @lock.synchronize { @environments << env.dup and @calls += 1 }
      @doing&.call(env)
      body = @body ? @body.call : ["call ", number.to_s]
      [@status, @headers, env["REQUEST_METHOD"] == "HEAD" ? [] : body]
    end
  end

  # Parts that come one by one, in no Array.
  class Parts
    attr_reader :closed

    def initialize(*parts) = @parts = parts
    def each(&block) = @parts.each(&block)
    def close = @closed = true
  end

  def setup
    super
    skip RACK_MISSING if defined?(RACK_MISSING)
    @app = Counting.new
  end

  # The application behind the cache, whose answers are checked for Rack's rules.
  def through(of = cache(on_error: "miss"), app: @app, **options)
    Rack::MockRequest.new(Rack::Lint.new(PGCache::Rack.new(app, of, ttl: 60, **options)))
  end

  def outcome(response) = response["x-cache"]

  def test_A70_an_answer_is_computed_once
    here = through
    first = here.get("/orders?page=1")
    second = here.get("/orders?page=1")
    assert_equal %w[MISS HIT], [outcome(first), outcome(second)]
    assert_equal ["call 1", "call 1", 1], [first.body, second.body, @app.calls]
    assert_equal %("#{Digest::SHA256.digest("call 1")[0, 16].unpack1("H*")}"), first["etag"]
    [first, second].each do |response|
      assert_equal [200, "text/plain", "no-cache", "6"], [response.status, *response.headers.to_h.transform_keys(&:downcase).values_at("content-type", "cache-control", "content-length")]
    end
    assert_equal first["etag"], second["etag"]
    assert_equal "HIT", outcome(through.get("/orders?page=1")), "of another process"
  end

  def test_A71_what_is_another_request
    here = through
    here.get("/a?b")
    others = ["/a", "/a?c", "/b?b", "http://other.example/a?b", "/a/?b"].map { |path| outcome(here.get(path)) }
    assert_equal ["MISS"] * 5, others
    assert_equal "HIT", outcome(here.get("/a?b"))
    assert_equal "MISS", outcome(here.get("/a", script_name: "/a"))
    long = "/#{"x" * 5000}"
    assert_equal %w[MISS MISS HIT], [outcome(here.get(long)), outcome(here.get("#{long}x")), outcome(here.get(long))]
  end

  # Applications write their own address into answers, and Rack takes that from whatever the client says.
  def test_nobody_has_a_false_address_kept_for_others
    here = through(app: ->(env) { [200, { "content-type" => "text/plain" }, [Rack::Request.new(env).url]] })
    { "HTTP_X_FORWARDED_HOST" => "evil.example", "HTTP_X_FORWARDED_PORT" => "666", "HTTP_X_FORWARDED_PROTO" => "https",
      "HTTP_X_FORWARDED_SCHEME" => "https", "HTTP_X_FORWARDED_SSL" => "on", "HTTP_FORWARDED" => "for=1;host=evil.example",
      "rack.url_scheme" => "https" }.each do |name, said|
      assert_equal "MISS", outcome(here.get("/#{name}", name => said)), name
      assert_equal ["MISS", "http://example.org/#{name}"], here.get("/#{name}").then { |found| [outcome(found), found.body] }, name
    end
    clients = %w[for=1.2.3.4;proto=https For="[::1]:7";proto=https]
    assert_equal(%w[MISS HIT], clients.map { |said| outcome(here.get("/", "HTTP_FORWARDED" => said)) })
    assert_equal(%w[MISS HIT], %w[1.2.3.4 5.6.7.8].map { |said| outcome(here.get("/for", "HTTP_X_FORWARDED_FOR" => said)) })
  end

  # Rack takes it for parameters where it says that it is a form.
  def test_a_request_with_a_body_is_passed_through
    here = through(app: ->(env) { [200, { "content-type" => "text/plain" }, [Rack::Request.new(env).params.fetch("q")]] })
    assert_equal %w[BYPASS evil], here.get("/?q=good", input: "q=evil", "CONTENT_TYPE" => "application/x-www-form-urlencoded").then { |found| [outcome(found), found.body] }
    assert_equal "BYPASS", outcome(here.get("/?q=good", "HTTP_TRANSFER_ENCODING" => "chunked"))
    assert_equal %w[MISS good], here.get("/?q=good").then { |found| [outcome(found), found.body] }
  end

  def test_head
    here = through
    assert_equal ["MISS", ""], [outcome(here.head("/")), here.head("/").body]
    assert_equal "MISS", outcome(here.get("/"))
    found = here.head("/")
    assert_equal ["HIT", "", "6", "text/plain"], [outcome(found), found.body, found["content-length"], found["content-type"]]
    assert_equal here.get("/")["etag"], found["etag"]
    assert_equal 3, @app.calls
  end

  def test_conditions
    here = through(vary: ["accept-language"])
    etag = here.get("/")["etag"]
    ask = ->(said) { here.get("/", "HTTP_IF_NONE_MATCH" => said) }
    [etag, "W/#{etag}", "*", %("other" , #{etag}), %(W/"x",W/#{etag},"y")].each do |said|
      response = ask.call(said)
      assert_equal [304, "", etag, "no-cache", "accept-language", "HIT"],
                   [response.status, response.body, response["etag"], response["cache-control"], response["vary"], outcome(response)], said
      assert_nil response["content-type"]
    end
    [%("other"), "", etag.delete('"')].each { |said| assert_equal 200, ask.call(said).status, said }
    assert_equal 304, here.head("/", "HTTP_IF_NONE_MATCH" => etag).status
  end

  # It would not give the whole answer.
  def test_the_application_hears_of_no_conditions
    here = through
    response = here.get("/", "HTTP_IF_NONE_MATCH" => %("#{Digest::SHA256.hexdigest("call 1")[0, 32]}"), "HTTP_IF_MODIFIED_SINCE" => "x")
    assert_equal [304, "MISS"], [response.status, outcome(response)]
    assert_empty @app.environments.first.keys.grep(/HTTP_IF/)
    %w[HTTP_RANGE HTTP_IF_RANGE HTTP_IF_MATCH HTTP_IF_UNMODIFIED_SINCE].each { |name| assert_equal "BYPASS", outcome(here.get("/", name => "bytes=0-1")) }
  end

  def test_the_applications_own_headers_are_kept
    @app.headers = { "Content-Type" => "text/html", "ETag" => 'W/"own"', "Cache-Control" => "public, max-age=7", "X-Own" => "yes" }
    here = through(max_age: 60)
    2.times do
      response = here.get("/")
      assert_equal ["text/html", 'W/"own"', "public, max-age=7", "yes"], %w[content-type etag cache-control x-own].map { |name| response[name] }
    end
    assert_equal [304, 1], [here.get("/", "HTTP_IF_NONE_MATCH" => '"own"').status, @app.calls]
  end

  def test_what_is_not_kept
    plain = { "content-type" => "text/plain" }
    { "a status" => -> { @app.status = 404 }, "a cookie" => -> { @app.headers = { **plain, "Set-Cookie" => "a=b" } },
      "no-store" => -> { @app.headers = { **plain, "Cache-Control" => "public, No-Store" } },
      "private" => -> { @app.headers = { **plain, "cache-control" => 'private="x"' } },
      "vary *" => -> { @app.headers = { **plain, "vary" => "*" } },
      "another vary" => -> { @app.headers = { **plain, "Vary" => "Accept-Language, Accept" } },
      "a stream" => -> { @app.body = -> { Parts.new("some ", "parts") } },
      "a stream that is like Rails'" => -> { @app.body = -> { Parts.new("some ", "parts").tap { |parts| def parts.to_ary = nil } } },
      "a long body" => -> { @app.body = -> { ["x" * 101] } },
      "a long body of parts" => -> { @app.headers = { **plain, "content-length" => "101" } and @app.body = -> { Parts.new("x" * 101) } } }
      .each do |name, tell|
      setup
      tell.call
      here = through(vary: ["accept"], max_body: 100)
      answers = Array.new(2) { here.get("/#{name.tr(" ", "-")}") }
      assert_equal %w[MISS BYPASS], answers.map { |answer| outcome(answer) }, name
      assert_equal [2, @app.status], [@app.calls, answers.last.status], name
      refute_empty answers.last.body
      assert_nil answers.last["etag"]
    end
    assert_equal(%w[BYPASS BYPASS], Array.new(2) { outcome(through.post("/")) })
    @app.headers, @app.body = plain, -> { ["x" * 2000] }
    here = through(cache(max_value_bytes: 1000))
    assert_equal(%w[MISS BYPASS], Array.new(2) { outcome(here.get("/longer-than-the-cache-has-it")) })
  end

  # Against Rack's rules, but servers let it pass.
  def test_answers_that_are_not_quite_right
    here = Rack::MockRequest.new(PGCache::Rack.new(@app, cache, ttl: 60))
    @app.headers = { "X-Number" => 7 }
    answers = Array.new(2) { here.get("/") }
    assert_equal [%w[MISS 7], %w[HIT 7]], answers.map { |found| [outcome(found), found["x-number"]] }
    [{ "Cache-Control" => "private", "cache-control" => "public" }, { "vary" => "Cookie", "Vary" => "" }].each_with_index do |headers, index|
      @app.headers = headers
      assert_equal(%w[MISS BYPASS], Array.new(2) { outcome(here.get("/twice/#{index}")) })
    end
    @app.headers = { "content-length" => "9" }
    [-> { Parts.new("cut ", "off") }, -> { ["cut off"] }].each_with_index do |body, index|
      @app.body = body
      answers = Array.new(2) { here.get("/#{index}") }
      assert_equal [["MISS", "cut off"], ["BYPASS", "cut off"]], (answers.map { |found| [outcome(found), found.body] })
    end
  end

  def test_bodies_are_closed_and_may_come_in_parts
    parts = Parts.new("\u00e9", "\xff".b, "")
    @app.headers = { "content-type" => "text/plain", "content-length" => "3" }
    @app.body = -> { parts }
    here = through
    assert_equal ["MISS", "\u00e9".b + "\xff".b], [outcome(here.get("/")), here.get("/").body.b]
    assert parts.closed
    @app.headers = { "content-type" => "text/plain" }
    @app.body = -> { [] }
    assert_equal [["MISS", ""], ["HIT", ""]], (Array.new(2) { here.get("/empty").then { |answer| [outcome(answer), answer.body] } })
  end

  # Nobody is to wait in line for answers that nobody will share.
  def test_answers_that_are_not_kept_are_given_side_by_side
    @app.headers = { "content-type" => "text/plain", "cache-control" => "no-store" }
    here = through
    here.get("/")
    inside = Queue.new
    go = Queue.new
    @app.doing = ->(_) { (inside << 1) && go.pop }
    clients = Array.new(3) { Thread.new { here.get("/") } }
    eventually { inside.size == 3 }
    3.times { go << 1 }
    assert_equal %w[BYPASS] * 3, clients.map { |client| outcome(client.value) }
  end

  def test_vary
    here = through(vary: ["Accept-Language"])
    @app.headers = { "content-type" => "text/plain", "Vary" => "accept-language" }
    ask = ->(**said) { here.get("/", said.transform_keys { |name| "HTTP_#{name}" }) }
    assert_equal %w[MISS MISS MISS], [ask.call(ACCEPT_LANGUAGE: "de"), ask.call(ACCEPT_LANGUAGE: "en"), ask.call].map { |found| outcome(found) }
    found = ask.call(ACCEPT_LANGUAGE: "de")
    assert_equal ["HIT", "call 1", "accept-language"], [outcome(found), found.body, found["vary"]]
  end

  def test_whoever_says_who_he_is_is_not_answered_from_the_cache
    cookie = { "HTTP_COOKIE" => "user=7" }
    plain = through
    assert_equal %w[BYPASS BYPASS], [plain.get("/", cookie), plain.get("/", "HTTP_AUTHORIZATION" => "Basic x")].map { |found| outcome(found) }
    assert_equal %w[MISS HIT BYPASS BYPASS], [{}, {}, cookie, { "REMOTE_USER" => "ada" }].map { |said| outcome(plain.get("/", said)) }
    of_all = through(public: true, namespace: other)
    assert_equal %w[MISS HIT], [cookie, {}].map { |said| outcome(of_all.get("/", said)) }
    varied = through(vary: %w[cookie])
    assert_equal %w[MISS HIT MISS], [cookie, cookie, { "HTTP_COOKIE" => "user=8" }].map { |said| outcome(varied.get("/own", said)) }
    assert_equal "BYPASS", outcome(varied.get("/own", { **cookie, "HTTP_AUTHORIZATION" => "Basic x" }))
    ada = { "HTTP_AUTHORIZATION" => "Basic x", "REMOTE_USER" => "ada" }
    assert_equal(%w[MISS HIT], Array.new(2) { outcome(through(vary: %w[authorization]).get("/ada", ada)) })
    of = cache
    through(of, vary: %w[cookie]).get("/secret", "HTTP_COOKIE" => "user=secret")
    assert_empty of.keys.grep(/user=/), "keys are no secrets"
    keyed = through(key: ->(env) { "page:#{env["HTTP_COOKIE"]}" })
    assert_equal %w[MISS HIT MISS], [cookie, cookie, {}].map { |said| outcome(keyed.get("/#{rand}", said)) }
    both = through(key: ->(_) { "the same page" }, vary: %w[x-language])
    assert_equal %w[MISS HIT MISS], %w[de de fr].map { |language| outcome(both.get("/#{rand}", "HTTP_X_LANGUAGE" => language)) }
  end

  def test_A73_bypass_and_refresh_are_the_servers_to_decide
    here = through(bypass: ->(env) { env["HTTP_X_BYPASS"] }, refresh: ->(env) { env["HTTP_X_REFRESH"] })
    here.get("/")
    assert_equal ["HIT", "call 1"], here.get("/", "HTTP_CACHE_CONTROL" => "no-cache", "HTTP_PRAGMA" => "no-cache").then { |found| [outcome(found), found.body] }
    assert_equal ["BYPASS", "call 2"], here.get("/", "HTTP_X_BYPASS" => "1").then { |found| [outcome(found), found.body] }
    assert_equal ["HIT", "call 1"], here.get("/").then { |found| [outcome(found), found.body] }
    assert_equal ["MISS", "call 3"], here.get("/", "HTTP_X_REFRESH" => "1").then { |found| [outcome(found), found.body] }
    assert_equal ["HIT", "call 3"], here.get("/").then { |found| [outcome(found), found.body] }
    assert_equal "MISS", outcome(here.head("/", "HTTP_X_REFRESH" => "1"))
  end

  def test_tags
    of = cache
    here = through(of, tags: ->(env) { ["customer:#{env["QUERY_STRING"]}"] })
    2.times { here.get("/?7") }
    here.get("/?8")
    of.invalidate(tags: ["customer:7"])
    of.fence
    assert_equal %w[MISS HIT], ["/?7", "/?8"].map { |path| outcome(here.get(path)) }
    of.invalidate(tags: ["customer:7"])
    @app.doing = ->(_) { of.invalidate(tags: ["customer:7"]) }
    assert_equal(%w[MISS MISS], Array.new(2) { outcome(here.get("/?7")) }, "what became false meanwhile is not kept")
    assert_equal(%w[MISS HIT], Array.new(2) { outcome(through(of, tags: ["all"], namespace: other).get("/")) })
  end

  def test_A40_one_of_all_who_ask_is_answered_by_the_application
    handles = Array.new(2) { through }
    @app.doing = ->(_) { sleep 0.1 }
    answers = Array.new(10) { |index| Thread.new { handles[index % 2].get("/") } }.map(&:value)
    assert_equal ["call 1"], answers.map(&:body).uniq
    assert_equal [1, 9], answers.map { |answer| outcome(answer) }.tally.values_at("MISS", "HIT")
  end

  def test_A72_errors_are_not_kept_and_reach_who_asked
    here = through
    inside = Queue.new
    go = Queue.new
    @app.doing = ->(_) { (inside << 1) && go.pop && @app.calls == 1 && raise(Boom) }
    first = Thread.new { here.get("/") }
    first.report_on_exception = false
    inside.pop
    second = Thread.new { here.get("/") }
    sleep 0.1 # it waits in line
    2.times { go << 1 }
    assert_raises(Boom) { first.value }
    assert_equal ["MISS", "call 2"], second.value.then { |found| [outcome(found), found.body] }
    @app.doing = ->(_) { raise PGCache::BusyError, "of the application" }
    assert_raises(PGCache::BusyError) { here.get("/busy") }
  end

  def test_A45_stale_while_one_request_is_done_again
    through(ttl: 0.1, stale: 60).get("/")
    sleep 0.2
    here = through(app: Rack::Lint.new(Rack::ContentLength.new(@app)), stale: 60, max_age: 60)
    go = Queue.new
    @app.doing = ->(_) { go.pop }
    stale = here.get("/", "rack.response_finished" => [])
    assert_equal ["STALE", "call 1", "max-age=0"], [outcome(stale), stale.body, stale["cache-control"]]
    conditional = here.get("/", "HTTP_IF_NONE_MATCH" => "*")
    assert_equal ["STALE", 304], [outcome(conditional), conditional.status]
    go << 1
    eventually { outcome(here.get("/")) == "HIT" }
    assert_equal ["call 2", 2, ""], [here.get("/").body, @app.calls, @app.environments.last["rack.input"].read]
    refute_includes @app.environments.last, "rack.response_finished"
  end

  # It is not there any more, or not for all.
  def test_A45_what_is_not_to_be_kept_any_more_ends_what_is_stale
    { "/gone" => -> { @app.status = 404 }, "/private" => -> { @app.headers = { **@app.headers, "cache-control" => "private" } } }.each do |path, change|
      here = through(ttl: 0.1, stale: 60)
      here.get(path)
      sleep 0.2
      change.call
      assert_equal "STALE", outcome(here.get(path))
      eventually { outcome(here.get(path)) == "BYPASS" }
      @app.status = 200
    end
  end

  def test_A45_what_cannot_be_done_again_stays_stale
    here = through(ttl: 0.1, stale: 60)
    here.get("/")
    sleep 0.2
    @app.status = 500
    assert_equal %w[STALE STALE], (Array.new(2) { outcome(here.get("/")).tap { eventually { @app.calls == 2 } } })
    sleep 1.1 # a load that failed is not tried again before
    @app.doing = ->(_) { raise Boom, "in the background" }
    _, reported = capture_io do
      before = Thread.list.size
      assert_equal "STALE", outcome(here.get("/"))
      eventually { @app.calls == 3 && Thread.list.size <= before }
    end
    assert_match(/Boom/, reported)
    assert_equal "call 1", here.get("/").body
  end

  def test_max_age
    here = through(ttl: 30, max_age: 600)
    assert_equal "max-age=30", here.get("/")["cache-control"]
    assert_includes %w[max-age=30 max-age=29 max-age=28], here.get("/")["cache-control"]
    assert_equal "max-age=10", through(max_age: 10).get("/other")["cache-control"]
    assert_equal "max-age=10", through(ttl: PGCache::NEVER, max_age: 10).get("/never")["cache-control"]
  end

  def test_A72_the_cache_is_down
    { "miss" => "MISS", "error" => "ERROR" }.each do |on_error, of_head|
      here = through(cache("host=127.0.0.1 port=1 user=nobody", on_error: on_error, timeout_ms: 1000), refresh: ->(env) { env["HTTP_X_REFRESH"] })
      before = @app.calls
      took = seconds do
        assert_equal %w[ERROR ERROR], [here.get("/"), here.get("/", "HTTP_X_REFRESH" => "1")].map { |found| outcome(found) }, on_error
        assert_equal of_head, outcome(here.head("/"))
      end
      assert_operator took, :<, 5
      assert_equal 3, @app.calls - before
      @app.headers = { "content-type" => "text/plain", "cache-control" => "no-store" }
      assert_equal on_error == "miss" ? "MISS" : "ERROR", outcome(here.get("/"))
      @app.headers = { "content-type" => "text/plain" }
    end
    assert_equal(%w[MISS MISS], Array.new(2) { outcome(through(cache("null:")).get("/")) })
  end

  def test_somebody_elses_entry
    of = cache
    of.put("mine", { "a" => 1 })
    assert_equal ["ERROR", "call 1"], through(of, key: ->(_) { "mine" }).get("/").then { |found| [outcome(found), found.body] }
    assert_equal({ "a" => 1 }, of.get("mine"))
  end

  # Of the other languages, too.
  def test_what_is_stored_looks_as_on_the_wire
    of = cache
    @app.headers = { "content-type" => "text/plain", "X-Many" => "a\nb", "Date" => "today" }
    PGCache::Rack.new(@app, of, ttl: 60, key: ->(_) { "page" }).call(Rack::MockRequest.env_for("/"))
    stored = of.get("page")
    assert_equal Encoding::BINARY, stored.encoding
    assert_equal "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-many: a, b\r\netag: \"#{Digest::SHA256.hexdigest("call 1")[0, 32]}\"\r\n\r\ncall 1", stored
    of.put("page", "HTTP/1.1 200 OK\r\nEtag: \"x\"\r\nX-Two: 1\r\nX-Two:2\r\nTransfer-Encoding: chunked\r\n\r\nfrom Go\r\n\r\n".b)
    of.fence
    found = Rack::MockRequest.new(PGCache::Rack.new(@app, of, ttl: 60, key: ->(_) { "page" })).get("/")
    assert_equal ["HIT", "from Go\r\n\r\n", '"x"', "1, 2", nil],
                 [outcome(found), found.body, *%w[etag x-two transfer-encoding].map { |name| found[name] }]
  end

  def test_over_http
    server = Puma::Server.new(PGCache::Rack.new(@app, cache, ttl: 60))
    server.add_tcp_listener("127.0.0.1", 0)
    server.run
    Net::HTTP.start("127.0.0.1", server.connected_ports.first) do |http|
      first, second = Array.new(2) { http.get("/page") }
      assert_equal ["200", "MISS", "call 1"], [first.code, first["X-Cache"], first.body]
      assert_equal ["200", "HIT", "call 1"], [second.code, second["X-Cache"], second.body]
      third = http.get("/page", "If-None-Match" => second["ETag"])
      assert_equal ["304", "HIT", second["ETag"]], [third.code, third["X-Cache"], third["ETag"]]
      fourth = http.head("/page")
      assert_equal ["200", "HIT", "6", nil], [fourth.code, fourth["X-Cache"], fourth["Content-Length"], fourth.body]
      assert_equal "BYPASS", http.post("/page", "", "Content-Type" => "text/plain")["X-Cache"]
      [{ "Content-Length" => "1" }, { "Transfer-Encoding" => "chunked" }].each do |said|
        asked = Net::HTTP::Get.new("/page", { "Content-Type" => "text/plain", **said })
        asked.body_stream = StringIO.new("x")
        assert_equal "BYPASS", http.request(asked)["X-Cache"], said
      end
    end
  ensure
    server&.stop(true)
  end
end
